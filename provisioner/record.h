// record.h: what entering a profile leaves in SLURM_SENV_ENTERED, so that it can be taken out again. Pure.
//
// Shape    "PROFILE [pure=FOLDER] NAME:SEPARATORS …", with one blank between words. PROFILE is absolute. FOLDER, in a pure
//          environment only, is the one of Slurm's commands. NAME is a variable that entering set, SEPARATORS are the bytes
//          that the profile's values were put in front with, two hexadecimal digits for each; none: the value was replaced.
// Limits   8 KiB, 256 names, each of them once: what leaving costs is linear in the job's variables.
// Trust    None: the job can write into its variables what it likes.
// Errors   corrupt: the text is not such a record, or the record would break a limit. Never taken for "not entered".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"

namespace senv {

inline constexpr const char* entered_variable = "SLURM_SENV_ENTERED";
inline constexpr std::size_t max_record_bytes = 8 * 1024;
inline constexpr std::size_t max_record_names = 256;

struct Record {
    struct Entered {
        std::string name;
        std::string separators;  // each is one byte
        bool operator==(const Entered&) const = default;
    };

    std::string profile;
    std::optional<std::string> pure;
    std::vector<Entered> entered;

    static Result<Record> parse(std::string_view text);
    Result<std::string> encode() const;
};

}  // namespace senv
