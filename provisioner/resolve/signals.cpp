#include "provisioner/resolve/signals.h"

#include <poll.h>
#include <sys/signalfd.h>

namespace senv {

Result<Signals> Signals::hold() {
    Signals signals;
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        // Whoever started us with a signal ignored (nohup, a shell's background) wants it to stay so.
        struct sigaction action {};
        if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) sigaddset(&set, signal);
    }
    if (const int err = ::pthread_sigmask(SIG_BLOCK, &set, &signals.before_); err != 0) {
        return Error::sys(err, "cannot hold back signals");
    }
    // Only polled, never read: a signal that was read would be gone.
    signals.fd_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals.fd_) return Error::sys(errno, "cannot wait for signals");
    return signals;
}

Signals::~Signals() {
    if (fd_) ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Signals::pending() const noexcept {
    pollfd poll{fd_.get(), POLLIN, 0};
    return ::poll(&poll, 1, 0) == 1;
}

Error interrupted() {
    return {Kind::busy, "interrupted"};
}

}  // namespace senv
