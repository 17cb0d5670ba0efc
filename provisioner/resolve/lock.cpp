#include "provisioner/resolve/lock.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"
#include "provisioner/resolution.h"

namespace senv {

namespace {

using Json = nlohmann::json;  // ordered_json compares each key of an object with all before it
using OrderedJson = nlohmann::ordered_json;

constexpr int lock_version = 1;

// More than any lock has, and little enough that what it takes to read them is no danger.
constexpr std::size_t max_depth = 16;
constexpr std::size_t max_values = 2'000'000;

constexpr std::size_t most_listed_differences = 20;

// One field of an object, of the type that is wanted.
class Object {
public:
    Object(const Json& json, std::string place) : json_(json), place_(std::move(place)) {}

    Result<const Json*> field(const char* name, Json::value_t type) const {
        if (!json_.is_object()) return bad("want an object");
        const auto found = json_.find(name);
        if (found == json_.end()) return bad("'" + std::string(name) + "' is missing");
        if (found->type() != type) return bad("'" + std::string(name) + "' has the wrong type");
        return &*found;
    }
    Result<std::string> text(const char* name) const {
        return SENV_TRY(field(name, Json::value_t::string))->get<std::string>();
    }
    Result<std::uint64_t> number(const char* name) const {
        return SENV_TRY(field(name, Json::value_t::number_unsigned))->get<std::uint64_t>();
    }
    Result<const Json*> list(const char* name) const { return field(name, Json::value_t::array); }
    Result<std::vector<std::string>> texts(const char* name) const {
        std::vector<std::string> all;
        for (const Json& item : *SENV_TRY(list(name))) {
            if (!item.is_string()) return bad("'" + std::string(name) + "' holds something else than text");
            all.push_back(item.get<std::string>());
        }
        return all;
    }
    bool is_null(const char* name) const {
        return json_.is_object() && json_.contains(name) && json_.at(name).is_null();
    }
    Error bad(const std::string& cause) const { return {Kind::corrupt, place_ + ": " + cause}; }

private:
    const Json& json_;
    std::string place_;
};

// "x86_64-linux"
bool is_system(std::string_view text) {
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    });
}

Result<LockedChannel> read_channel(const Json& json) {
    const Object object(json, "channel");
    LockedChannel channel;
    channel.name = SENV_TRY(object.text("name"));
    channel.url = SENV_TRY(object.text("url"));
    channel.branch = SENV_TRY(object.text("branch"));
    channel.commit = SENV_TRY(object.text("commit"));
    if (!is_channel(channel.name, channel.commit)) {
        return object.bad("bad name or commit '" + printable(channel.name + "@" + channel.commit) + "'");
    }
    if (object.is_null("introduction")) return channel;
    const Object introduction(*SENV_TRY(object.field("introduction", Json::value_t::object)), "introduction");
    channel.introduction.emplace();
    channel.introduction->commit = SENV_TRY(introduction.text("commit"));
    channel.introduction->signer = SENV_TRY(introduction.text("signer"));
    return channel;
}

Result<LockedItem> read_item(const Json& json) {
    const Object object(json, "closure");
    // One at a time: a return out of the middle of {…} leaks what is made already (GCC and clang alike).
    StorePath path = SENV_TRY(StorePath::parse_absolute(SENV_TRY(object.text("path"))));
    const Sha256 hash = SENV_TRY(Sha256::parse_prefixed(SENV_TRY(object.text("hash"))));
    const std::uint64_t size = SENV_TRY(object.number("size"));
    LockedItem item = {std::move(path), hash, size, {}};
    for (const std::string& reference : SENV_TRY(object.texts("references"))) {
        item.references.push_back(SENV_TRY(StorePath::parse_absolute(reference)));
    }
    return item;
}

// The two lists that a lock and a description have alike.
Result<void> read_lists(const Object& object, Lock& lock) {
    for (const Json& channel : *SENV_TRY(object.list("channels")))
        lock.channels.push_back(SENV_TRY(read_channel(channel)));
    for (const Json& item : *SENV_TRY(object.list("closure"))) lock.closure.push_back(SENV_TRY(read_item(item)));
    std::ranges::sort(lock.closure, {}, &LockedItem::path);
    const auto has = [&](const StorePath& path) {
        return std::ranges::binary_search(lock.closure, path, {}, &LockedItem::path);
    };
    if (!has(lock.profile)) return object.bad("the closure does not hold the profile");
    if (const auto twice = std::ranges::adjacent_find(lock.closure, {}, &LockedItem::path);
        twice != lock.closure.end()) {
        return object.bad("the closure holds '" + twice->path.base() + "' twice");
    }
    for (const LockedItem& item : lock.closure) {
        const auto lacks = std::ranges::find_if_not(item.references, has);
        if (lacks == item.references.end()) continue;
        return object.bad("the closure lacks '" + lacks->base() + "', which '" + item.path.base() + "' refers to");
    }
    return {};
}

// What the text of a JSON value is made of, told without keeping any of it; up to where it has too much of something.
struct Shape {
    std::size_t depth = 0;
    std::size_t values = 1;
    std::size_t keys = 0;
};

Shape shape_of(std::string_view text) {
    Shape shape;
    std::size_t depth = 0;
    bool is_in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_in_string && c == '\\') {
            ++i;
        } else if (c == '"') {
            is_in_string = !is_in_string;
        } else if (!is_in_string) {
            if (c == '{' || c == '[') shape.depth = std::max(shape.depth, ++depth);
            if ((c == '}' || c == ']') && depth > 0) --depth;
            if (c == ',' || c == '{' || c == '[') ++shape.values;
            if (c == ':') ++shape.keys;
        }
        if (shape.depth > max_depth || shape.values > max_values) break;
    }
    return shape;
}

// No deeper than the text, which has been checked.
std::size_t keys_in(const Json& json) {
    std::size_t keys = json.is_object() ? json.size() : 0;
    for (const Json& inside : json) {
        if (inside.is_structured()) keys += keys_in(inside);
    }
    return keys;
}

Result<Json> parse_json(std::string_view text) {
    const Shape shape = shape_of(text);
    if (shape.depth > max_depth) {
        return Error(Kind::corrupt, "it has more than " + std::to_string(max_depth) + " levels inside each other");
    }
    if (shape.values > max_values) {
        return Error(Kind::corrupt, "it has more than " + std::to_string(max_values) + " values");
    }
    Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return Error(Kind::corrupt, "it is not JSON, or not all of it");
    // Other programs may take the other one.
    if (keys_in(json) != shape.keys) return Error(Kind::corrupt, "a key stands twice in one of its objects");
    return json;
}

OrderedJson json_of(const LockedChannel& channel) {
    OrderedJson introduction;
    if (channel.introduction) {
        introduction = {{"commit", channel.introduction->commit}, {"signer", channel.introduction->signer}};
    }
    return {{"name", channel.name},
            {"url", channel.url},
            {"branch", channel.branch},
            {"commit", channel.commit},
            {"introduction", std::move(introduction)}};
}

OrderedJson json_of(const LockedItem& item) {
    OrderedJson references = OrderedJson::array();
    for (const StorePath& reference : item.references) references.push_back(reference.absolute());
    return {{"path", item.path.absolute()},
            {"hash", item.nar_hash.prefixed()},
            {"size", item.nar_size},
            {"references", std::move(references)}};
}

// What `of` has and `in` has not.
std::vector<StorePath> lacking(std::vector<StorePath> in, std::vector<StorePath> of) {
    std::ranges::sort(in);
    std::ranges::sort(of);
    std::vector<StorePath> left;
    std::ranges::set_difference(of, in, std::back_inserter(left));
    return left;
}

template <class T>
OrderedJson json_of(const std::vector<T>& list) {
    OrderedJson all = OrderedJson::array();
    for (const T& item : list) all.push_back(json_of(item));
    return all;
}

}  // namespace

Result<Lock> Lock::read(std::string_view text) {
    const Json json = SENV_TRY(parse_json(text));
    const Object object(json, "the lock");
    const std::uint64_t version = SENV_TRY(object.number("senv-lock"));
    if (version != lock_version) {
        return Error(Kind::corrupt, "its version is " + std::to_string(version) + ", this senv reads version 1")
            .hint("use the senv that wrote it, or a newer one");
    }
    Lock lock = {SENV_TRY(StorePath::parse_absolute(SENV_TRY(object.text("profile"))))};
    lock.system = SENV_TRY(object.text("system"));
    if (!is_system(lock.system)) return object.bad("bad system '" + printable(lock.system) + "'");
    lock.manifests = SENV_TRY(object.texts("manifests"));
    lock.packages = SENV_TRY(object.texts("packages"));
    lock.development = SENV_TRY(object.texts("development"));
    lock.files = SENV_TRY(object.texts("files"));
    lock.expressions = SENV_TRY(object.texts("expressions"));
    lock.load_path = SENV_TRY(object.number("load-path"));
    lock.transformations = SENV_TRY(object.texts("transformations"));
    if (!object.is_null("channel-file")) lock.channel_file = SENV_TRY(object.text("channel-file"));
    const Object guix(*SENV_TRY(object.field("guix", Json::value_t::object)), "guix");
    lock.guix_version = SENV_TRY(guix.text("version"));
    SENV_TRY(read_lists(object, lock));
    return lock;
}

std::string Lock::write() const {
    const OrderedJson json = {{"senv-lock", lock_version},
                              {"system", system},
                              {"profile", profile.absolute()},
                              {"manifests", manifests},
                              {"packages", packages},
                              {"development", development},
                              {"files", files},
                              {"expressions", expressions},
                              {"load-path", load_path},
                              {"transformations", transformations},
                              {"channel-file", channel_file ? OrderedJson(*channel_file) : OrderedJson()},
                              {"channels", json_of(channels)},
                              {"guix", {{"version", guix_version}}},
                              {"closure", json_of(closure)}};
    // Manifests in another encoding than UTF-8 are Guix's business; here a byte that is none becomes U+FFFD.
    return json.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

std::vector<std::string> differences(const Lock& recorded, const Lock& made) {
    std::vector<std::string> lines;
    if (recorded.profile != made.profile) {
        lines.push_back("the profile is " + made.profile.absolute() + ", the lock has " + recorded.profile.absolute());
    }
    // Both are sorted by path.
    auto old = recorded.closure.begin();
    auto now = made.closure.begin();
    while (old != recorded.closure.end() || now != made.closure.end()) {
        if (now == made.closure.end() || (old != recorded.closure.end() && old->path < now->path)) {
            lines.push_back("- " + (old++)->path.absolute());
        } else if (old == recorded.closure.end() || now->path < old->path) {
            lines.push_back("+ " + (now++)->path.absolute());
        } else {
            if (old->nar_hash != now->nar_hash) {
                lines.push_back(now->path.absolute() + " is " + now->nar_hash.prefixed() + ", the lock has " +
                                old->nar_hash.prefixed());
            } else if (old->nar_size != now->nar_size) {
                lines.push_back(now->path.absolute() + " has " + std::to_string(now->nar_size) +
                                " bytes, the lock has " + std::to_string(old->nar_size));
            } else {
                const std::string has = now->path.absolute() + " refers to ";
                for (const auto& path : lacking(old->references, now->references)) {
                    lines.push_back(has + path.base() + ", not so in the lock");
                }
                for (const auto& path : lacking(now->references, old->references)) {
                    lines.push_back(has + path.base() + " in the lock only");
                }
            }
            ++old;
            ++now;
        }
    }
    return lines;
}

std::string listed(std::vector<std::string> lines) {
    if (lines.size() > most_listed_differences) {
        const std::size_t more = lines.size() - most_listed_differences;
        lines.resize(most_listed_differences);
        lines.push_back("and " + std::to_string(more) + " more");
    }
    return "\n  " + join(lines, "\n  ");
}

Result<void> read_description(std::string_view json, Lock& lock) {
    const Json parsed = SENV_TRY(parse_json(json));
    const Object object(parsed, "the description of the profile");
    lock.guix_version = SENV_TRY(object.text("version"));
    return read_lists(object, lock);
}

}  // namespace senv
