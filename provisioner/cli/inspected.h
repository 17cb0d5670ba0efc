// inspected.h: what `senv show` and `senv diff` print alike. Lists and objects of --json are interfaces.
#pragma once

#include <nlohmann/json.hpp>

#include "provisioner/inspect.h"

namespace senv {

nlohmann::ordered_json json_of(const Package& package);
nlohmann::ordered_json json_of(const LockedChannel& channel);
/// null when it is not known.
nlohmann::ordered_json closure_json(const Inspected& found);
/// For people: "11 items, 10.9 MiB".
std::string closure_text(const Inspected& found);

/// Text of unknown origin may not be UTF-8.
std::string dump(const nlohmann::ordered_json& json);

}  // namespace senv
