#include "provisioner/resolve/given.h"

#include <filesystem>

#include "cache/base/text.h"
#include "cache/verify/digest.h"
#include "provisioner/resolve/inputs.h"

namespace senv {

namespace {

namespace fs = std::filesystem;

constexpr int max_links = 40;

// Without ".", ".." and slashes at the end.
std::string plain(const fs::path& path) {
    std::string text = path.lexically_normal().string();
    while (text.size() > 1 && text.ends_with('/')) text.pop_back();
    return text;
}

Result<StorePath> item_at(const std::string& path) {
    const std::string_view inside = std::string_view(path).substr(store_prefix.size());
    if (const auto slash = inside.find('/'); slash != std::string_view::npos) {
        return Error(Kind::corrupt, "it leads to something in '" +
                                        printable(path.substr(0, store_prefix.size() + slash)) +
                                        "', not to a profile as a whole");
    }
    StorePath item = SENV_TRY(StorePath::parse_absolute(path));
    std::error_code error;
    if (fs::exists(path, error) && !fs::exists(path + "/manifest", error) && !error) {
        return Error(Kind::corrupt, "'" + path + "' is no profile: it has no file 'manifest'")
            .hint("name what `guix package --profile` or `guix shell --root` made");
    }
    return item;
}

Result<StorePath> profile_at(const std::string& path) {
    const auto place = SENV_TRY(place_in_store(path));
    if (place) return item_at(*place);
    std::error_code lost;
    const std::string at = plain(fs::absolute(path, lost));
    return Error(Kind::corrupt, "'" + printable(at) + "' is neither a profile nor a link to one");
}

}  // namespace

Result<std::optional<std::string>> place_in_store(const std::string& path) {
    if (path.empty()) return Error::sys(ENOENT, "cannot follow it");
    std::error_code lost;
    std::string at = plain(fs::absolute(path, lost));
    if (lost) return Error::sys(lost.value(), "cannot find the current folder");
    for (int links = 0; links <= max_links; ++links) {
        if (at.starts_with(store_prefix)) return std::optional(at);
        std::error_code error;
        const fs::path target = fs::read_symlink(at, error);
        if (error == std::errc::invalid_argument) {  // no link; but one of the folders above may be
            const std::string real = fs::canonical(at, error).string();
            if (!error && real.starts_with(store_prefix)) return std::optional(real);
            return std::optional<std::string>();
        }
        if (error) return Error::sys(error.value(), links == 0 ? "cannot follow it" : "'" + printable(at) + "'");
        at = plain(fs::path(at).parent_path() / target);
    }
    return Error(Kind::corrupt, "it leads over more than " + std::to_string(max_links) + " links");
}

Result<GivenLock> given_lock(const std::string& file) {
    const SourceFile source = SENV_TRY(read_source(file, "lock", max_lock_bytes));
    Lock lock = SENV_TRY(Lock::read(source.text).in("cannot use the lock '" + printable(file) + "'"));
    Known known = {resolution_of(lock, source.text), file};
    return GivenLock{std::move(lock), std::move(known)};
}

Result<Known> known_from_profile(const std::string& path) {
    return Known{{SENV_TRY(profile_at(path).in("cannot use profile '" + printable(path) + "'")), {}, {}, "senv"}, {}};
}

}  // namespace senv
