// settings_table.h: the keys of a file of settings: one table says how each is read and what is in force.
//
// Shape    TOML. A key that is not in the table is an error; of one that is a table itself its setting reads all.
// Errors   usage, with file and line: not TOML, an unknown key (the hint lists the table), or what a setting says of its value.
#pragma once

#include <toml++/toml.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "provisioner/settings.h"

namespace senv {

struct Setting {
    std::string key;
    std::function<Result<void>(const toml::node&)> set;  // Errors: usage, "want …"
    std::function<std::string()> value;                  // in force, as InForce has it
};

/// "want WHAT"
Error wants(const std::string& what);

/// Sets what the text has; returns the whole table, in its order. `file` is the name used in errors.
Result<std::vector<InForce>> read_settings(std::string_view text, const std::string& file,
                                           const std::vector<Setting>& table);

}  // namespace senv
