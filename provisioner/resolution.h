// resolution.h: what travels from the submit host to the nodes, in the variable SLURM_SENV_RESOLUTION.
//
// Shape    One line of printable ASCII, at most 4 KiB:
//            1 PROFILE lock=DIGEST channels=NAME@COMMIT,… enter=HOW from=SOURCE
//          PROFILE is absolute (/gnu/store/HASH-NAME), DIGEST is 64 hex digits or "none" (a profile that no lock describes),
//          NAME@COMMIT in the order of the channels (empty when unknown), HOW is "plain" or "pure", with ":REGEX" behind it
//          when variables are to be preserved (all but letters, digits, "-", "_" and "." as %HEX), SOURCE says where the
//          request came from ("command-line:--env-manifest", …).
//          The name begins with SLURM_, so that it survives every --export mode; the first word is the version.
// Trust    None on the node: whoever submits can write what he likes. The profile is a name to be looked up, the rest is
//          text for the log.
// Errors   corrupt, naming the field.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/store_path.h"

namespace senv {

inline constexpr const char* resolution_variable = "SLURM_SENV_RESOLUTION";
/// Instead of a resolution: the node takes the environment out of the job's variables.
inline constexpr std::string_view leaving = "none";

struct ChannelCommit {
    std::string name;
    std::string commit;
    bool operator==(const ChannelCommit&) const = default;
};

/// Has it a name (letters, digits, "-_.+", at most 64) and a commit (hexadecimal digits, at most 64)?
bool is_channel(std::string_view name, std::string_view commit);

/// Which of the job's variables stay when a profile is entered.
struct Keeping {
    bool pure = false;     // as guix shell --pure
    std::string preserve;  // as guix shell --preserve, a POSIX extended regular expression; empty: none
    bool operator==(const Keeping&) const = default;
};

struct Resolution {
    StorePath profile;
    std::string lock_digest;  // SHA-256 of the lock file's text, hex; empty when there is no lock
    std::vector<ChannelCommit> channels;
    std::string source;
    Keeping keeping = {};

    static Result<Resolution> parse(std::string_view text);
    std::string encode() const;
    /// The fields behind the profile, as encode() gives them.
    std::string details() const;
};

}  // namespace senv
