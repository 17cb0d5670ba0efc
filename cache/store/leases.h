// leases.h: the leases that keep closures on this node as long as somebody uses them.
//
// Shape    DIR/ID, mode 0600, one line "PROFILE uid=N job=N step=N[ DETAILS]". The one who may use the closure holds a
//          read-only descriptor whose open file description has the file locked (flock, shared). senvd keeps none: whoever can
//          lock it exclusively knows that the last process which inherited a descriptor is gone.
//          Who asks again for what is held (the same profile, uid, job, step and details) gets the same file, opened again.
//          DIR/.ID is a lease in the making: it is written and locked before it gets its name. Such a name found at a start
//          was left by a crash.
// Place    DIR is in the memory of the node (/run), so that a full disk takes no lease from anybody. It has to outlive senvd:
//          senvd knows its leases from memory, and reads DIR only when it starts. Leases that an older senvd made in its
//          state folder count until they are free.
// Unread   A held file that cannot be read at the start keeps something, and senvd cannot tell what: to_keep() fails until
//          that file is free.
// Limits   One user's steps hold at most `most_of_user` leases, and all together `most` of them; the last `kept_back` of these
//          are for users who hold fewer than `few`. So a user can neither fill the memory, a page or two for each lease, nor
//          take all leases from others. Root (uid 0) has no limit of its own.
// Cost     take(), held_by() and drop() look at few files, whatever others hold; live() looks at all.
// Threads  All may be called from any. No lock is held for longer than it takes to look at one file.
// Errors   io, with the file. busy: a limit.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "cache/base/fd.h"
#include "cache/formats/store_path.h"

namespace senv {

struct Lease {
    StorePath profile;
    std::uint32_t uid = 0;
    std::uint32_t job = 0;
    std::uint32_t step = 0;
    std::string details = {};  // how the step is in it; no line break

    bool operator==(const Lease&) const = default;
};

struct TakenLease {
    Fd fd;           // locked, to hand over
    std::string id;  // for drop(); empty when somebody held it already
};

struct HeldLease : Lease {
    std::string id;  // the name of its file
};

struct LeaseLimits {
    std::size_t most = 4096;
    std::size_t kept_back = 1024;
    std::size_t most_of_user = 1024;
    std::size_t few = 64;
};

class Leases {
public:
    /// `dir` is made if its parent is there. `older`: the folder of an older senvd's leases, if there is one.
    /// Errors: denied when somebody else could put files into `dir`; busy when another senvd uses it.
    static Result<std::unique_ptr<Leases>> open(const std::string& dir, Fd older = Fd(),
                                                const LeaseLimits& limits = {});

    Result<TakenLease> take(const Lease& lease);
    /// The lease keeps nothing any more, whoever holds it.
    void drop(const std::string& id) noexcept;

    /// The same of all leases of this user, or of this job; returns those that somebody held.
    std::vector<HeldLease> drop_user(std::uint32_t uid);
    std::vector<HeldLease> drop_job(std::uint32_t job);

    /// What this job of this user holds; of several steps the one with the highest number.
    std::optional<Lease> held_by(std::uint32_t uid, std::uint32_t job);
    /// The leases that somebody holds, by user, job and step; removes the others.
    std::vector<HeldLease> live();
    /// The same, for who evicts what they do not keep. Errors: corrupt when a held one could not be read.
    Result<std::vector<HeldLease>> to_keep();
    /// The files that could not be read and are held.
    std::vector<std::string> unread();

private:
    struct Known {
        Lease lease;
        bool is_older = false;  // its file is in older_
    };

    using KnownLeases = std::map<std::string, Known>;                                    // by id
    using Place = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::string>;  // uid, job, step, id
    using Places = std::set<Place>;
    struct User {
        std::size_t leases = 0;  // known ones
        Deadline next_look{};    // for those of them that nobody holds
    };

    Leases(std::string path, Fd dir, Fd older, const LeaseLimits& limits)
        : path_(std::move(path)), dir_(std::move(dir)), older_(std::move(older)), limits_(limits) {}
    Result<void> read(bool older);
    Result<Fd> make(const std::string& unfinished, const Lease& lease) const;
    // With the mutex held:
    void add(const std::string& id, Lease lease, bool is_older);
    void forget(KnownLeases::iterator known);
    bool forget_if_gone(KnownLeases::iterator known);
    Fd share(const Lease& lease);
    Result<void> make_room(std::uint32_t uid);
    Result<void> check_limits(std::uint32_t uid) const;
    template <class F>
    std::vector<HeldLease> drop_if(F&& is_meant);
    const Fd& folder(bool older) const noexcept { return older ? older_ : dir_; }
    /// Removes the file if nobody holds it. True: it is gone.
    bool is_gone(const std::string& name, bool older) const;

    const std::string path_;
    const Fd dir_;
    const Fd older_;
    const LeaseLimits limits_;
    std::mutex mutex_;
    KnownLeases known_;
    Places places_;
    std::map<std::uint32_t, User> users_;
    Deadline next_look_{};                // at those of all users
    std::map<std::string, bool> unread_;  // names of files, and whether they are older
};

}  // namespace senv
