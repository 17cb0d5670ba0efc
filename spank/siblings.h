// siblings.h: what the tasks of a step on one node have in common: one mount namespace, one answer of senvd, one voice.
//
// Shape      Made by slurmstepd before it forks the tasks, inherited by all of them: a socket pair that carries the
//            namespace, and a shared file of memory that carries the rest. All of it is close-on-exec.
// Namespace  The first task to come makes it and sends one message with its descriptor; the others read that one message
//            with MSG_PEEK, so nobody counts, no queue fills up, and it also works when the first is gone by then. It has
//            to be the tasks: what slurmstepd itself enters before job_container/tmpfs joins the job's namespace breaks
//            that plugin.
// Answers    A record lock on the shared file says who reads from senvd, or asks Slurm. It ends with its process, and the next
//            takes over.
// Errors     A failure of the one who acts is passed on to all others as it is.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>

#include "cache/base/fd.h"
#include "cache/base/result.h"
#include "cache/wire/messages.h"
#include "provisioner/mount.h"

namespace senv {

class Siblings {
public:
    static Result<Siblings> make();
    Siblings(Siblings&& other) noexcept;
    Siblings& operator=(Siblings&& other) noexcept;
    Siblings(const Siblings&) = delete;
    Siblings& operator=(const Siblings&) = delete;
    ~Siblings();

    /// As root in each task: `make` in the first to come, `join` in the others. busy when the first does not get to an
    /// end within `limit`.
    Result<void> enter(const std::function<Result<Fd>()>& make_namespace,
                       const std::function<Result<void>(const Fd&)>& join_it, std::chrono::milliseconds limit);

    /// In each task: what `produce` returns in one of them. `may_wait` is asked several times a second by those who wait;
    /// its error ends that task's wait.
    Result<wire::Plan> share(const std::function<Result<wire::Plan>()>& produce,
                             const std::function<Result<void>()>& may_wait);

    /// In each task: what `ask` returns in the first that comes here. True when that one does not get to an end.
    bool agree(const std::function<bool()>& ask);

    /// True for the first task that asks.
    bool first_to_speak();
    /// The same for what is said beside that: a notice must not silence the error that follows.
    bool first_to_notice();

private:
    struct Shared;
    Siblings() = default;
    Result<void> pass_on(const Result<Fd>& made);
    Result<wire::Plan> answer() const;
    template <class Act>
    Result<void> once(std::atomic<std::uint32_t>& done, Act&& act, const std::function<Result<void>()>& may_wait);

    Shared* shared_ = nullptr;
    Fd file_;  // the file behind shared_
    Fd give_;  // one end of the pair
    Fd take_;  // the other
};

}  // namespace senv
