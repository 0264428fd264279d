-- SPDX-License-Identifier: Apache-2.0
-- A storm on one hunter: every connection asks for the same one, so the requests run one at a time.
function request()
  return wrk.format("POST", "/v1/hunts/goblin-hoard/hunters/the-streamer")
end
