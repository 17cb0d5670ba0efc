// leases.h: the leases that keep closures on this node as long as somebody uses them.
//
// Shape    DIR/ID, mode 0600, one line "PROFILE uid=N job=N step=N[ DETAILS]". The one who may use the closure holds a
//          read-only descriptor whose open file description has the file locked (flock). senvd keeps none: whoever can take
//          the lock knows that the last process which inherited the descriptor is gone.
//          DIR/.ID is a lease in the making: it is written and locked before it gets its name. Such a name found at a start
//          was left by a crash.
// Place    DIR is in the memory of the node (/run), so that a full disk takes no lease from anybody. It has to outlive senvd:
//          senvd knows its leases from memory, and reads DIR only when it starts. Leases that an older senvd made in its
//          state folder count until they are free.
// Unread   A held file that cannot be read at the start keeps something, and senvd cannot tell what: to_keep() fails until
//          that file is free.
// Threads  All may be called from any. No lock is held for longer than it takes to look at one file.
// Errors   io, with the file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
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
};

struct TakenLease {
    Fd fd;           // locked, to hand over
    std::string id;  // for drop()
};

class Leases {
public:
    /// `dir` is made if its parent is there. `older`: the folder of an older senvd's leases, if there is one.
    /// Errors: denied when somebody else could put files into `dir`; busy when another senvd uses it.
    static Result<std::unique_ptr<Leases>> open(const std::string& dir, Fd older = Fd());

    Result<TakenLease> take(const Lease& lease);
    /// The lease keeps nothing any more, whoever holds it.
    void drop(const std::string& id) noexcept;

    /// The leases that somebody holds; removes the others.
    std::vector<Lease> live();
    /// The same, for who evicts what they do not keep. Errors: corrupt when a held one could not be read.
    Result<std::vector<Lease>> to_keep();
    /// The files that could not be read and are held.
    std::vector<std::string> unread();

private:
    struct Known {
        Lease lease;
        bool is_older = false;  // its file is in older_
    };

    Leases(std::string path, Fd dir, Fd older)
        : path_(std::move(path)), dir_(std::move(dir)), older_(std::move(older)) {}
    Result<void> read(bool older);
    Result<Fd> make(const std::string& unfinished, const Lease& lease) const;
    const Fd& folder(bool older) const noexcept { return older ? older_ : dir_; }
    /// Removes the file if nobody holds it. True: it is gone.
    bool is_gone(const std::string& name, bool older) const;

    const std::string path_;
    const Fd dir_;
    const Fd older_;
    std::mutex mutex_;
    std::map<std::string, Known> known_;  // by id
    std::map<std::string, bool> unread_;  // names of files, and whether they are older
};

}  // namespace senv
