#include "provisioner/resolve/lock.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cache/base/text.h"

namespace senv {

namespace {

using Json = nlohmann::ordered_json;

constexpr int lock_version = 1;

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

Result<LockedChannel> read_channel(const Json& json) {
    const Object object(json, "channel");
    LockedChannel channel;
    channel.name = SENV_TRY(object.text("name"));
    channel.url = SENV_TRY(object.text("url"));
    channel.branch = SENV_TRY(object.text("branch"));
    channel.commit = SENV_TRY(object.text("commit"));
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
    if (!std::ranges::any_of(lock.closure, [&](const LockedItem& item) { return item.path == lock.profile; })) {
        return object.bad("the closure does not hold the profile");
    }
    return {};
}

Result<Json> parse_json(std::string_view text) {
    Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) return Error(Kind::corrupt, "it is not JSON");
    return json;
}

Json json_of(const LockedChannel& channel) {
    Json introduction;
    if (channel.introduction) {
        introduction = {{"commit", channel.introduction->commit}, {"signer", channel.introduction->signer}};
    }
    return {{"name", channel.name},
            {"url", channel.url},
            {"branch", channel.branch},
            {"commit", channel.commit},
            {"introduction", std::move(introduction)}};
}

Json json_of(const LockedItem& item) {
    Json references = Json::array();
    for (const StorePath& reference : item.references) references.push_back(reference.absolute());
    return {{"path", item.path.absolute()},
            {"hash", item.nar_hash.prefixed()},
            {"size", item.nar_size},
            {"references", std::move(references)}};
}

template <class T>
Json json_of(const std::vector<T>& list) {
    Json all = Json::array();
    for (const T& item : list) all.push_back(json_of(item));
    return all;
}

}  // namespace

Result<Lock> Lock::read(std::string_view text) {
    const Json json = SENV_TRY(parse_json(text).in("cannot read the lock"));
    const Object object(json, "cannot read the lock");
    const std::uint64_t version = SENV_TRY(object.number("senv-lock"));
    if (version != lock_version) return object.bad("its version is " + std::to_string(version) + ", not 1");
    StorePath profile = SENV_TRY(StorePath::parse_absolute(SENV_TRY(object.text("profile"))));
    Lock lock = {{}, std::move(profile), {}, {}, std::nullopt, {}, {}, {}};
    lock.system = SENV_TRY(object.text("system"));
    lock.manifests = SENV_TRY(object.texts("manifests"));
    lock.packages = SENV_TRY(object.texts("packages"));
    if (!object.is_null("channel-file")) lock.channel_file = SENV_TRY(object.text("channel-file"));
    const Object guix(*SENV_TRY(object.field("guix", Json::value_t::object)), "cannot read the lock: guix");
    lock.guix_version = SENV_TRY(guix.text("version"));
    SENV_TRY(read_lists(object, lock).in("cannot read the lock"));
    return lock;
}

std::string Lock::write() const {
    const Json json = {{"senv-lock", lock_version},
                       {"system", system},
                       {"profile", profile.absolute()},
                       {"manifests", manifests},
                       {"packages", packages},
                       {"transformations", Json::array()},
                       {"channel-file", channel_file ? Json(*channel_file) : Json()},
                       {"channels", json_of(channels)},
                       {"guix", {{"version", guix_version}}},
                       {"closure", json_of(closure)}};
    // Manifests in another encoding than UTF-8 are Guix's business; here a byte that is none becomes U+FFFD.
    return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<void> read_description(std::string_view json, Lock& lock) {
    const Json parsed = SENV_TRY(parse_json(json));
    const Object object(parsed, "the description of the profile");
    lock.guix_version = SENV_TRY(object.text("version"));
    return read_lists(object, lock);
}

}  // namespace senv
