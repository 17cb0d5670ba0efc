// closed.h: may what Guix makes of this text be remembered? Only if the text alone decides it. Pure.
//
// Manifest A manifest is a program. It is closed when every name that it calls is on a list of procedures that look at
//          nothing but their arguments (specification->package, list, append, map, …), is defined in the text itself by
//          define, lambda or let over such calls, or is the result of options->transformation with options that name
//          everything they need (with-input, with-graft, …; not with-branch or with-source). Any other name may stand for a
//          value, as the packages of (gnu packages …) do, but is never called, not even through map or apply. So load,
//          include, local-file, getenv, open-input-file, current-time, system and all that nobody thought of are out, and a
//          new procedure has to be put on the list by someone. Modules: Guile's own and Guix's inner ones only from a list;
//          those of channels are as pinned as the channels are.
// Channels (list (channel …) …) as data: each with a name, a url and a commit of 40 hexadecimal digits.
// Cost     A manifest that does more than that is resolved every time: slower, never wrong.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace senv {

/// Nothing when the manifest is closed, else why not: "line 3, column 2: 'local-file' may depend on something else".
std::optional<std::string> why_manifest_is_open(std::string_view text);
/// Is that so for a transformation option, such as "with-input" with "openmpi=mpich"?
bool is_closed_transformation(std::string_view name, std::string_view value);
/// The same for a channel file.
std::optional<std::string> why_channels_are_open(std::string_view text);

}  // namespace senv
