/* SPDX-License-Identifier: Apache-2.0 */
/* The table of time zones in a bundle: a head, its entries sorted by name, and the changes of all
 * zones. C, since the worker reads it. Numbers are little-endian.
 */
#pragma once
#include <stdint.h>

#define ZONE_TABLE_MAGIC "huntz001"

enum { ZONE_NAME_BYTES = 40, ZONE_CHANGES_MAX = 400 };

struct zone_table_head {
  char magic[8];
  uint32_t bytes; /* of the whole table */
  uint32_t zones;
};

struct zone_table_entry {
  char name[ZONE_NAME_BYTES]; /* ends with zeros, at least one */
  uint32_t offset;            /* of its first change, from the head */
  uint32_t changes;           /* 1 to ZONE_CHANGES_MAX */
};

struct zone_table_change {
  uint32_t at_s;    /* since 1970; of the first change 0 */
  int32_t offset_s; /* east of UTC, from then on */
};
