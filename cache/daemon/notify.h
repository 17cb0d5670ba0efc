// notify.h: tells the service manager that senvd answers (Type=notify).
//
// Shape    One datagram "READY=1" to the Unix socket that NOTIFY_SOCKET names: a path, or "@NAME" for an abstract one.
// Source   sd_notify(3), which needs no library.
#pragma once

#include <string>

#include "cache/base/result.h"

namespace senv {

class ReadyNotice {
public:
    /// Takes the variable out of our environment, so that no child takes itself for the service. Before there are threads.
    static ReadyNotice from_environment();
    /// Sends nothing when the variable was not set: no service manager started us. Errors: the socket cannot be reached; a
    /// service manager would wait for ever then.
    Result<void> send() const;

private:
    std::string socket_;  // none when empty
};

}  // namespace senv
