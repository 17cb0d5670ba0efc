#include "cache/wire/messages.h"

#include <algorithm>

#include "cache/base/text.h"

namespace senv::wire {

std::string Provision::encode() const {
    return Writer(Type::provision).str(profile).u32(uid).u32(job).u32(step).u32(flags).str(details).finish();
}

Result<Provision> Provision::decode(std::string_view payload) {
    Reader in(payload);
    Provision message;
    message.profile = SENV_TRY(in.str("profile", max_path_bytes));
    message.uid = SENV_TRY(in.u32("uid"));
    message.job = SENV_TRY(in.u32("job"));
    message.step = SENV_TRY(in.u32("step"));
    message.flags = SENV_TRY(in.u32("flags"));
    if ((message.flags & ~(flag_lease | flag_progress)) != 0) return Error(Kind::corrupt, "unknown flags in a request");
    message.details = SENV_TRY(in.str("details", max_details_bytes));
    if (!is_printable_ascii(message.details)) {
        return Error(Kind::corrupt, "the details in a request are not printable ASCII");
    }
    SENV_TRY(in.end());
    return message;
}

std::string Prefetch::encode() const {
    return Writer(Type::prefetch).str(profile).u32(uid).u32(job).finish();
}

Result<Prefetch> Prefetch::decode(std::string_view payload) {
    Reader in(payload);
    Prefetch message;
    message.profile = SENV_TRY(in.str("profile", max_path_bytes));
    message.uid = SENV_TRY(in.u32("uid"));
    message.job = SENV_TRY(in.u32("job"));
    SENV_TRY(in.end());
    return message;
}

std::string Gc::encode() const {
    return Writer(Type::gc).u32(flags).finish();
}

Result<Gc> Gc::decode(std::string_view payload) {
    Reader in(payload);
    Gc message;
    message.flags = SENV_TRY(in.u32("flags"));
    if ((message.flags & ~flag_dry_run) != 0) return Error(Kind::corrupt, "unknown flags in a request");
    SENV_TRY(in.end());
    return message;
}

std::string Pin::encode() const {
    return Writer(Type::pin).str(profile).u32(flags).finish();
}

Result<Pin> Pin::decode(std::string_view payload) {
    Reader in(payload);
    Pin message;
    message.profile = SENV_TRY(in.str("profile", max_path_bytes));
    message.flags = SENV_TRY(in.u32("flags"));
    if ((message.flags & ~flag_unpin) != 0) return Error(Kind::corrupt, "unknown flags in a request");
    SENV_TRY(in.end());
    return message;
}

std::string List::encode() const {
    return Writer(Type::list).str(after).finish();
}

Result<List> List::decode(std::string_view payload) {
    Reader in(payload);
    List message;
    message.after = SENV_TRY(in.str("after", max_path_bytes));
    SENV_TRY(in.end());
    return message;
}

std::string Verify::encode() const {
    Writer out(Type::verify);
    out.u32(static_cast<std::uint32_t>(paths.size()));
    for (const auto& path : paths) out.str(path);
    return out.u32(flags).finish();
}

Result<Verify> Verify::decode(std::string_view payload) {
    Reader in(payload);
    Verify message;
    const auto count = SENV_TRY(in.u32("paths"));
    if (count > max_list) return Error(Kind::corrupt, "the request has too many paths");
    for (std::uint32_t i = 0; i < count; ++i) message.paths.push_back(SENV_TRY(in.str("path", max_path_bytes)));
    message.flags = SENV_TRY(in.u32("flags"));
    if ((message.flags & ~flag_repair) != 0) return Error(Kind::corrupt, "unknown flags in a request");
    SENV_TRY(in.end());
    return message;
}

std::string Held::encode() const {
    return Writer(Type::held).u32(uid).u32(job).finish();
}

std::string Release::encode() const {
    return Writer(Type::release).u32(number).u32(flags).finish();
}

Result<Release> Release::decode(std::string_view payload) {
    Reader in(payload);
    Release message;
    message.number = SENV_TRY(in.u32("number"));
    message.flags = SENV_TRY(in.u32("flags"));
    if ((message.flags & ~flag_user) != 0) return Error(Kind::corrupt, "unknown flags in a request");
    SENV_TRY(in.end());
    return message;
}

Result<Held> Held::decode(std::string_view payload) {
    Reader in(payload);
    Held message;
    message.uid = SENV_TRY(in.u32("uid"));
    message.job = SENV_TRY(in.u32("job"));
    SENV_TRY(in.end());
    return message;
}

std::string Progress::encode() const {
    return Writer(Type::progress)
        .u32(items_done)
        .u32(items_total)
        .u64(bytes_done)
        .u64(bytes_total)
        .str(std::string_view(what).substr(0, max_message_bytes))
        .finish();
}

Result<Progress> Progress::decode(std::string_view payload) {
    Reader in(payload);
    Progress message;
    message.items_done = SENV_TRY(in.u32("items_done"));
    message.items_total = SENV_TRY(in.u32("items_total"));
    message.bytes_done = SENV_TRY(in.u64("bytes_done"));
    message.bytes_total = SENV_TRY(in.u64("bytes_total"));
    message.what = SENV_TRY(in.str("what", max_message_bytes));
    SENV_TRY(in.end());
    return message;
}

namespace {

bool is_variable_name(std::string_view name) {
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_'; };
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    return !name.empty() && name.size() <= max_name_bytes && letter(name[0]) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || digit(c); });
}

}  // namespace

Result<void> Plan::check() const {
    std::size_t total = 0;
    if (variables.size() > max_list) return Error(Kind::corrupt, "the plan has too many variables");
    for (const auto& variable : variables) {
        if (!is_variable_name(variable.name)) return Error(Kind::corrupt, "the plan has a variable with a bad name");
        if (variable.value.size() > max_value_bytes) {
            return Error(Kind::corrupt, "the plan's value of '" + variable.name + "' has " +
                                            std::to_string(variable.value.size()) + " bytes, the limit is " +
                                            std::to_string(max_value_bytes));
        }
        if (variable.separator.size() > 1) {
            return Error(Kind::corrupt, "the plan's separator for '" + variable.name + "' is not one byte");
        }
        if (variable.value.find('\0') != std::string::npos || variable.separator.find('\0') != std::string::npos) {
            return Error(Kind::corrupt, "the plan's value of '" + variable.name + "' holds a NUL byte");
        }
        total += variable.name.size() + variable.value.size();
    }
    if (total > max_plan_bytes) {
        return Error(Kind::corrupt, "the plan's variables have " + std::to_string(total) +
                                        " bytes together, the limit is " + std::to_string(max_plan_bytes));
    }
    return {};
}

std::string Plan::encode() const {
    Writer out(Type::plan);
    out.str(profile).u32(static_cast<std::uint32_t>(variables.size()));
    for (const auto& variable : variables) out.str(variable.name).str(variable.value).str(variable.separator);
    return out.finish();
}

Result<Plan> Plan::decode(std::string_view payload) {
    Reader in(payload);
    Plan plan;
    plan.profile = SENV_TRY(in.str("profile", max_path_bytes));
    const auto count = SENV_TRY(in.u32("variables"));
    if (count > max_list) return Error(Kind::corrupt, "the plan has too many variables");
    for (std::uint32_t i = 0; i < count; ++i) {
        Variable variable;
        variable.name = SENV_TRY(in.str("name", max_name_bytes));
        variable.value = SENV_TRY(in.str("value", max_value_bytes));
        variable.separator = SENV_TRY(in.str("separator", 1));
        plan.variables.push_back(std::move(variable));
    }
    SENV_TRY(in.end());
    SENV_TRY(plan.check());
    return plan;
}

std::string encode_empty(Type type) {
    return Writer(type).finish();
}

std::string encode_text(std::string_view text) {
    return Writer(Type::text).str(text).finish();
}

Result<std::string> decode_text(std::string_view payload) {
    Reader in(payload);
    auto text = SENV_TRY(in.str("text", max_reply_bytes));
    SENV_TRY(in.end());
    return text;
}

std::string encode_error(const Error& error) {
    return Writer(Type::error)
        .u16(static_cast<std::uint16_t>(error.kind()))
        .str(std::string_view(error.what()).substr(0, max_message_bytes))
        .str(std::string_view(error.hint()).substr(0, max_message_bytes))
        .finish();
}

Error decode_error(std::string_view payload) {
    Reader in(payload);
    const auto kind = in.u16("kind");
    auto what = in.str("what", max_message_bytes);
    auto hint = in.str("hint", max_message_bytes);
    if (!kind || !what || !hint || !in.end() || *kind > static_cast<std::uint16_t>(Kind::bug)) {
        return {Kind::corrupt, "senvd answered with an error that cannot be read"};
    }
    Error error(Kind{static_cast<unsigned char>(*kind)}, *std::move(what));
    if (hint->empty()) return error;
    return std::move(error).hint(*std::move(hint));
}

}  // namespace senv::wire
