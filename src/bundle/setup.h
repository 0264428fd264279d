// SPDX-License-Identifier: Apache-2.0
// What a worker gets in the job that compiles a hunt, beside the script: it is in the image then,
// so a run of the hunt does not get it again.
#pragma once
#include <string>

#include "settings/hunt_settings.h"

namespace huntd {

// An object, as a value (wire/value.h): config, the table hunt.config.
std::string setup_of(const HuntSettings& settings);

}  // namespace huntd
