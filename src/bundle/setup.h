// SPDX-License-Identifier: Apache-2.0
// What a worker gets in the job that compiles a hunt, beside the script: it is in the image then,
// so a run of the hunt does not get it again.
#pragma once
#include <string>

#include "bundle/bundle.h"
#include "settings/hunt_settings.h"

namespace huntd {

// An object, as a value (wire/value.h):
//   config   the table hunt.config
//   memory   the bytes that the hunt may use, or 0
//   modules  a list of {name, offset, bytes} of lib/*.lua in the bundle
//   zone     the time zone of the hunt, if its settings name one
//   zones    where the table of time zones begins in the bundle, or 0
std::string setup_of(const Bundle& bundle, const HuntSettings& settings);

}  // namespace huntd
