// SPDX-License-Identifier: Apache-2.0
// Reads an HdrHistogram log on stdin with hdr-histogram-js and prints, as JSON, each tag's figures in ns.
const { readFileSync } = require("node:fs");
const { HistogramLogReader } = require("hdr-histogram-js");

const reader = new HistogramLogReader(readFileSync(0, "utf8"));
const decoded = {};
for (let h = reader.nextIntervalHistogram(); h !== null; h = reader.nextIntervalHistogram()) {
  decoded[h.tag] = {
    count: h.totalCount,
    p50: h.getValueAtPercentile(50),
    p90: h.getValueAtPercentile(90),
    p99: h.getValueAtPercentile(99),
    p99_9: h.getValueAtPercentile(99.9),
    // Not maxValue, which this library rounds up once more than its own percentiles.
    max: h.getValueAtPercentile(100),
    mean: h.mean,
    start_ms: h.startTimeStampMsec,
    end_ms: h.endTimeStampMsec,
  };
}
console.log(JSON.stringify(decoded));
