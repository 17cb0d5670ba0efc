#include "provisioner/export.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cache/base/fd.h"
#include "cache/base/text.h"
#include "cache/formats/narinfo.h"
#include "cache/unpack/compress.h"
#include "cache/unpack/nar_dump.h"
#include "cache/verify/digest.h"

namespace senv {

namespace {

constexpr int level = 9;  // written once, read by every node
constexpr mode_t file_mode = 0644;
constexpr mode_t folder_mode = 0755;
constexpr std::chrono::milliseconds between_tellings(250);
constexpr std::string_view cache_info =
    "StoreDir: /gnu/store\nWantMassQuery: 0\nPriority: 100\n";  // as guix publish has it

/// Whatever the umask says: nodes read it as another user.
Result<void> make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), folder_mode) != 0) {
        if (errno == EEXIST) return {};
        return Error::sys(errno, "cannot make the folder '" + path + "'");
    }
    if (::chmod(path.c_str(), folder_mode) != 0) return Error::sys(errno, "cannot set the mode of '" + path + "'");
    return {};
}

/// Files that have not got their names yet are here, so that what a killed export left can be told from all else.
std::string nursery(const std::string& folder) {
    return folder + "/.new";
}

/// A file that gets its name when it is complete.
class NewFile {
public:
    static Result<NewFile> make(const std::string& folder, const std::string& path) {
        std::string name = nursery(folder) + "/XXXXXX";
        Fd fd(::mkostemp(name.data(), O_CLOEXEC));
        if (!fd) return Error::sys(errno, "cannot create '" + name + "'");
        return NewFile(path, std::move(name), std::move(fd));
    }
    NewFile(NewFile&&) noexcept = default;
    NewFile& operator=(NewFile&&) = delete;
    ~NewFile() {
        if (fd_) ::unlink(name_.c_str());
    }

    int fd() const noexcept { return fd_.get(); }

    Result<void> commit() {
        if (::fchmod(fd_.get(), file_mode) != 0) return Error::sys(errno, "cannot set the mode of '" + name_ + "'");
        if (::fsync(fd_.get()) != 0) return Error::sys(errno, "cannot write '" + name_ + "'");
        if (::rename(name_.c_str(), path_.c_str()) != 0) return Error::sys(errno, "cannot rename '" + name_ + "'");
        fd_.reset();
        return {};
    }

private:
    NewFile(std::string path, std::string name, Fd fd)
        : path_(std::move(path)), name_(std::move(name)), fd_(std::move(fd)) {}

    std::string path_;
    std::string name_;
    Fd fd_;
};

Result<void> write_file(const std::string& folder, const std::string& name, std::string_view text) {
    const std::string path = folder + "/" + name;
    NewFile file = SENV_TRY(NewFile::make(folder, path));
    SENV_TRY(write_all(file.fd(), text).in("cannot write '" + path + "'"));
    return file.commit();
}

std::string host_name() {
    std::string name(256, '\0');
    if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
    return name.substr(0, name.find('\0'));
}

/// What a signature covers.
std::string signed_part(const LockedItem& item) {
    std::vector<std::string> references;
    for (const StorePath& reference : item.references) references.push_back(reference.base());
    return "StorePath: " + item.path.absolute() + "\nNarHash: " + item.nar_hash.prefixed() +
           "\nNarSize: " + std::to_string(item.nar_size) + "\nReferences: " + join(references, " ") + "\n";
}

class Exporter {
public:
    Exporter(const SigningKey& key, const ExportPlaces& places, Fd store)
        : key_(key), places_(places), store_(std::move(store)), host_(host_name()) {}

    Result<void> add(const LockedItem& item) {
        const std::string narinfo = std::string(item.path.hash_part()) + ".narinfo";
        const std::string vouched = signed_part(item);
        const std::string signature = SENV_TRY(key_.sign(vouched, host_));
        if (is_there(item, narinfo, SENV_TRY(Narinfo::parse(vouched + signature)))) {
            bytes_done += item.nar_size;
            ++items_done;
            return {};
        }
        const std::uint64_t size = SENV_TRY(write_nar(item));
        SENV_TRY(write_file(places_.folder, narinfo,
                            vouched + signature + "URL: " + url_of(item) +
                                "\nCompression: zstd\nFileSize: " + std::to_string(size) + "\n"));
        ++items_done;
        ++written;
        file_bytes += size;
        return {};
    }

    std::atomic<std::uint64_t> items_done{0};  // that are in the folder
    std::atomic<std::uint64_t> bytes_done{0};  // of nars
    std::atomic<std::uint64_t> written{0};
    std::atomic<std::uint64_t> file_bytes{0};

private:
    static std::string url_of(const LockedItem& item) { return "nar/zstd/" + percent_encode(item.path.base()); }
    std::string nar_file(const LockedItem& item) const { return places_.folder + "/nar/zstd/" + item.path.base(); }

    /// It says the same as ours, whatever host signed it, and its nar is complete.
    bool is_there(const LockedItem& item, const std::string& narinfo, const Narinfo& ours) const {
        const auto text = read_small_file(places_.folder + "/" + narinfo, max_narinfo_bytes);
        if (!text) return false;
        const auto theirs = Narinfo::parse(*text);
        if (!theirs || theirs->signed_text() != ours.signed_text() || theirs->signature() != ours.signature())
            return false;
        struct stat found = {};
        return theirs->ways().size() == 1 && theirs->ways()[0].url == url_of(item) &&
               ::lstat(nar_file(item).c_str(), &found) == 0 && S_ISREG(found.st_mode) &&
               theirs->ways()[0].file_size == static_cast<std::uint64_t>(found.st_size);
    }

    /// The size of the file.
    Result<std::uint64_t> write_nar(const LockedItem& item) {
        const std::string doing = "cannot export '" + item.path.absolute() + "'";
        NewFile file = SENV_TRY(NewFile::make(places_.folder, nar_file(item)).in(doing));
        std::uint64_t nar_size = 0;
        std::uint64_t file_size = 0;
        Sha256Stream digest;
        auto compressor = SENV_TRY(make_zstd_compressor(level, [&](std::span<const std::byte> bytes) -> Result<void> {
                                       file_size += bytes.size();
                                       return write_all(file.fd(), bytes);
                                   }).in(doing));
        SENV_TRY(dump_nar(store_, item.path.base(), [&](std::span<const std::byte> piece) -> Result<void> {
                     nar_size += piece.size();
                     bytes_done += piece.size();
                     digest.update(piece);
                     return compressor->feed(piece);
                 }).in(doing));
        SENV_TRY(compressor->finish().in(doing));
        if (digest.finish() != item.nar_hash || nar_size != item.nar_size) {
            return Error(Kind::untrusted, doing + ": what is in the store is not what Guix put there")
                .hint("look at it with `guix gc --verify=contents`");
        }
        SENV_TRY(file.commit().in(doing));
        return file_size;
    }

    const SigningKey& key_;
    const ExportPlaces& places_;
    const Fd store_;
    const std::string host_;
};

/// Opens the folder for one export at a time, and removes what one that was killed has left. Some file systems of clusters
/// cannot lock: there nothing is removed, and several are kept apart by their files' names.
Result<Fd> enter(const std::string& path) {
    Fd folder = SENV_TRY(open_file(path, O_RDONLY | O_DIRECTORY));
    const bool is_ours = ::flock(folder.get(), LOCK_EX | LOCK_NB) == 0;
    if (!is_ours && errno == EWOULDBLOCK) {
        return Error(Kind::busy, "cannot export into '" + path + "': another export writes there");
    }
    if (::mkdir(nursery(path).c_str(), 0700) != 0 && errno != EEXIST) {
        return Error::sys(errno, "cannot make the folder '" + nursery(path) + "'");
    }
    if (!is_ours) return folder;
    const Fd left = SENV_TRY(open_file(nursery(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    for (const std::string& name : SENV_TRY(names_in(left))) ::unlinkat(left.get(), name.c_str(), 0);
    return folder;
}

/// The first error ends it. Calls `tell` now and then, and at the end.
Result<void> add_all(Exporter& exporter, const std::vector<const LockedItem*>& items,
                     const std::function<void()>& tell) {
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t working = std::min<std::size_t>(std::max(1U, std::thread::hardware_concurrency()), items.size());
    std::optional<Error> first;
    const auto work = [&] {
        for (std::size_t i = 0; (i = next++) < items.size();) {
            const auto added = contained([&] { return exporter.add(*items[i]); });
            if (added) continue;
            next = items.size();
            const std::lock_guard lock(mutex);
            if (!first) first = added.error();
        }
        const std::lock_guard lock(mutex);
        --working;
        changed.notify_one();
    };
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = working; i > 0; --i) threads.emplace_back(work);
        for (bool ended = false; !ended; tell()) {
            std::unique_lock lock(mutex);
            ended = changed.wait_for(lock, between_tellings, [&] { return working == 0; });
        }
    }
    if (first) return *std::move(first);
    return {};
}

}  // namespace

Result<void> check_lock(const Lock& lock, const std::vector<LockedItem>& known) {
    Lock told = {lock.profile};
    told.closure = known;
    auto lines = differences(lock, told);
    if (lines.empty()) return {};
    return Error(Kind::untrusted, "it is not what Guix knows of these items" + listed(std::move(lines)))
        .hint("make the lock again with `senv lock`, from what it names");
}

Result<Exported> export_closure(const StorePath& profile, const std::vector<LockedItem>& closure, const SigningKey& key,
                                const ExportPlaces& places, const std::function<void(const ExportProgress&)>& tell) {
    Exported exported;
    std::vector<const LockedItem*> items;
    std::vector<const LockedItem*> last;
    Fd store = SENV_TRY(open_file(places.store, O_RDONLY | O_DIRECTORY));
    for (const LockedItem& item : closure) {
        struct stat found = {};
        if (::fstatat(store.get(), item.path.base().c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) {
            return Error::sys(errno, "cannot export '" + item.path.absolute() + "' from '" + places.store + "'")
                .hint("make the environment again with `senv resolve`, from what the lock names");
        }
        (item.path == profile ? last : items).push_back(&item);
        ++exported.items;
        exported.bytes += item.nar_size;
    }
    for (const char* part : {"", "/nar", "/nar/zstd"}) SENV_TRY(make_folder(places.folder + part));
    const Fd folder = SENV_TRY(enter(places.folder));
    SENV_TRY(write_file(places.folder, "nix-cache-info", cache_info));
    Exporter exporter(key, places, std::move(store));
    const auto tell_all = [&] { tell({exporter.items_done, exporter.bytes_done, exported.items, exported.bytes}); };
    SENV_TRY(add_all(exporter, items, tell_all));
    SENV_TRY(add_all(exporter, last, tell_all));
    ::rmdir(nursery(places.folder).c_str());
    const Fd nars = SENV_TRY(open_file(places.folder + "/nar/zstd", O_RDONLY | O_DIRECTORY));
    for (const int fd : {nars.get(), folder.get()}) {  // the names
        if (::fsync(fd) != 0) return Error::sys(errno, "cannot write '" + places.folder + "'");
    }
    exported.written = exporter.written;
    exported.file_bytes = exporter.file_bytes;
    return exported;
}

}  // namespace senv
