// reach.h: whether somebody listens at the other end. Nothing is sent.
//
// Errors   missing: nobody listens, or there is no such host; busy: no answer in time; usage: not such a name.
#pragma once

#include <string>

#include "provisioner/doctor/commands.h"

namespace senv {

struct Endpoint {
    std::string host;  // a name or an address, without brackets
    std::string port;
    std::string text() const { return host + ":" + port; }
};

/// Of "http://HOST", "https://HOST:PORT/PATH", "guix://HOST". `default_port`: where the URL has none.
Endpoint endpoint_of(const std::string& url, const std::string& default_port);

/// Connects to one of the host's addresses. getent(1) finds them, as no function of the C library keeps a limit.
Result<void> reach(const Endpoint& endpoint, const Commands& commands, std::chrono::seconds limit);
/// Connects to a Unix socket.
Result<void> reach_socket(const std::string& path, const Commands& commands, std::chrono::seconds limit);

}  // namespace senv
