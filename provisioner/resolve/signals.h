// signals.h: Ctrl-C and friends as something to wait for, so that everything is cleaned up before they take effect.
//
// Shape    While a Signals lives, SIGINT, SIGTERM and SIGHUP, unless ignored, stay pending: who waits polls fd() as well and gives up with
//          interrupted() when it is readable. The destructor lets them through: the process then dies of the signal, as its
//          parent expects, with nothing left behind. Hence it must outlive whatever cleans up.
// Needs    One per process, made before any thread.
#pragma once

#include <csignal>

#include "cache/base/fd.h"

namespace senv {

class Signals {
public:
    static Result<Signals> hold();
    Signals(Signals&&) noexcept = default;
    Signals& operator=(Signals&&) = delete;
    ~Signals();

    int fd() const noexcept { return fd_.get(); }
    bool pending() const noexcept;
    /// The mask from before, which a child is to have.
    const sigset_t& mask_before() const noexcept { return before_; }

private:
    Signals() = default;

    Fd fd_;
    sigset_t before_{};
};

/// What to return when a signal has come. Never printed: the signal ends the process first.
Error interrupted();

}  // namespace senv
