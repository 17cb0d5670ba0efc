// foreign_variables.h: variables that lead programs of an environment to software outside it. Pure.
//
// Shape    One table by library. A row is a name, or the beginning of several names and how they end.
// linker   The dynamic linker's own: they go, whatever they say.
// location Where a library finds itself, its data or its plugins: goes when the value names a folder outside /gnu/store.
//          A value without a folder is a setting (FI_PROVIDER, OMPI_MCA_btl) and stays.
// list     A search list of an interpreter: its elements are judged one by one, by who owns them. In Lua's, the folder of
//          an element ends where its pattern begins.
// Source   Said in each row of the table: where the library reads the variable, or documents it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace senv {

enum class Leads : unsigned char { linker, location, list };

struct ForeignVariables {
    std::string_view name;  // without `endings`: the whole name; with them: its beginning
    std::span<const std::string_view> endings;
    Leads how;
    char separator;  // of a list
};

std::span<const ForeignVariables> foreign_variables();
/// The row that the variable stands in; null: the variable leads nowhere else.
const ForeignVariables* foreign_variable(std::string_view name);

/// Whether a value names a folder or file that is not in /gnu/store.
bool names_folder_outside_store(std::string_view value);
/// The folder of an element of a list: what stands before the part of the path that has a "?", or all of it.
std::string_view folder_of_element(std::string_view element);

/// A variable and what of its value is meant.
struct Named {
    std::string variable;
    std::vector<std::string> elements;
    char separator = ':';
    bool operator==(const Named&) const = default;
};

/// For people, on one line: "PYTHONPATH=/opt/a:/opt/b, LD_PRELOAD=/opt/c.so". Long ones are cut.
std::string shown(const std::vector<Named>& all);
/// What --env-preserve has to be given so that they stay.
std::string pattern_that_keeps(const std::vector<Named>& all);

}  // namespace senv
