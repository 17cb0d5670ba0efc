// messages.h: what the frames of protocol.md say, as values.
//
// Shape    encode() gives a whole frame; decode(payload) takes what follows the header.
// Errors   corrupt. A decoded message keeps all limits of protocol.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/base/result.h"
#include "cache/wire/frame.h"

namespace senv::wire {

inline constexpr std::size_t max_path_bytes = 255;
inline constexpr std::size_t max_name_bytes = 255;
inline constexpr std::size_t max_value_bytes = 64 * 1024;
inline constexpr std::size_t max_plan_bytes = 256 * 1024;
inline constexpr std::size_t max_message_bytes = 16 * 1024;
inline constexpr std::size_t max_details_bytes = 4 * 1024;

struct Provision {
    static constexpr std::uint32_t flag_lease = 1;
    static constexpr std::uint32_t flag_progress = 2;

    std::string profile;  // absolute
    std::uint32_t uid = 0;
    std::uint32_t job = 0;
    std::uint32_t step = 0;
    std::uint32_t flags = 0;
    std::string details = {};  // told to who asks what the job holds; printable ASCII

    std::string encode() const;
    static Result<Provision> decode(std::string_view payload);
};

struct Prefetch {
    std::string profile;
    std::uint32_t uid = 0;
    std::uint32_t job = 0;

    std::string encode() const;
    static Result<Prefetch> decode(std::string_view payload);
};

struct Gc {
    static constexpr std::uint32_t flag_dry_run = 1;

    std::uint32_t flags = 0;

    std::string encode() const;
    static Result<Gc> decode(std::string_view payload);
};

struct Pin {
    static constexpr std::uint32_t flag_unpin = 1;

    std::string profile;  // absolute
    std::uint32_t flags = 0;

    std::string encode() const;
    static Result<Pin> decode(std::string_view payload);
};

struct List {
    std::string after;  // absolute, or empty: from the first

    std::string encode() const;
    static Result<List> decode(std::string_view payload);
};

struct Verify {
    static constexpr std::uint32_t flag_repair = 1;

    std::vector<std::string> paths;  // absolute, with all that they need; none: everything
    std::uint32_t flags = 0;

    std::string encode() const;
    static Result<Verify> decode(std::string_view payload);
};

/// Asks what a job is in on this node.
struct Held {
    std::uint32_t uid = 0;
    std::uint32_t job = 0;

    std::string encode() const;
    static Result<Held> decode(std::string_view payload);
};

/// Leases shall keep nothing any more, although somebody holds them.
struct Release {
    static constexpr std::uint32_t flag_user = 1;

    std::uint32_t number = 0;  // of a job, or with flag_user a uid
    std::uint32_t flags = 0;

    std::string encode() const;
    static Result<Release> decode(std::string_view payload);
};

struct Progress {
    std::uint32_t items_done = 0;
    std::uint32_t items_total = 0;
    std::uint64_t bytes_done = 0;  // of nar, uncompressed
    std::uint64_t bytes_total = 0;
    std::string what;  // the item being fetched and where from, for people

    std::string encode() const;
    static Result<Progress> decode(std::string_view payload);
};

/// What entering a profile does to the environment.
struct Variable {
    std::string name;
    std::string value;
    std::string separator;  // empty: replaces what the job has; else: goes in front of it
    bool operator==(const Variable&) const = default;
};

struct Plan {
    std::string profile;  // absolute
    std::vector<Variable> variables;
    bool operator==(const Plan&) const = default;

    std::string encode() const;
    /// Also refuses names that are not [A-Za-z_][A-Za-z0-9_]* and plans over the limits.
    static Result<Plan> decode(std::string_view payload);
    /// The same checks, for who makes a plan.
    Result<void> check() const;
};

std::string encode_empty(Type type);  // STATUS, LEASE, PENDING, ACCEPTED
std::string encode_text(std::string_view text);
Result<std::string> decode_text(std::string_view payload);
std::string encode_error(const Error& error);
/// The error inside an ERROR frame, or a corrupt error about the frame itself.
Error decode_error(std::string_view payload);

}  // namespace senv::wire
