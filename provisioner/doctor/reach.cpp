#include "provisioner/doctor/reach.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <memory>

#include "cache/base/text.h"

namespace senv {

namespace {

struct InfoFree {
    void operator()(addrinfo* info) const noexcept { ::freeaddrinfo(info); }
};

Result<void> connect_to(const sockaddr* address, socklen_t size, const std::string& shown, const Signals& signals,
                        Deadline end) {
    const Fd socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return Error::sys(errno, shown);
    if (::connect(socket.get(), address, size) == 0) return {};
    if (errno != EINPROGRESS) return Error::sys(errno, shown);
    for (;;) {
        std::array<pollfd, 2> polls = {{{socket.get(), POLLOUT, 0}, {signals.fd(), POLLIN, 0}}};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        const int n = ::poll(polls.data(), polls.size(), static_cast<int>(std::clamp<long long>(left, 0, 60'000)));
        if (polls[1].revents != 0) return interrupted();
        if (n > 0) break;
        if (n == 0) return Error(Kind::busy, shown + ": no answer in time");
    }
    int err = 0;
    socklen_t length = sizeof err;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &err, &length) != 0) err = errno;
    if (err != 0) return Error::sys(err, shown);
    return {};
}

Result<void> connect_to(const std::string& address, const std::string& port, const Signals& signals, Deadline end) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(address.c_str(), port.c_str(), &hints, &found) != 0) {
        return Error(Kind::usage, address + ":" + port + " is no address");
    }
    const std::unique_ptr<addrinfo, InfoFree> info(found);
    return connect_to(info->ai_addr, info->ai_addrlen, address + ":" + port, signals, end);
}

}  // namespace

Endpoint endpoint_of(const std::string& url, const std::string& default_port) {
    const auto begin = url.find("://") + 3;
    const std::string place = url.substr(begin, url.find('/', begin) - begin);
    const auto colon = place.rfind(':');
    const auto bracket = place.rfind(']');
    const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
    std::string host = place.substr(0, has_port ? colon : std::string::npos);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    return {std::move(host), has_port ? place.substr(colon + 1) : default_port};
}

Result<void> reach(const Endpoint& endpoint, const Commands& commands, std::chrono::seconds limit) {
    const Deadline end = commands.within(limit);
    const auto addresses = commands.output({"getent", "ahosts", endpoint.host}, limit);
    if (!addresses && addresses.error().kind() == Kind::io) {
        return Error(Kind::missing, "there is no host '" + endpoint.host + "'");
    }
    if (!addresses) return addresses.error();
    Result<void> reached = Error(Kind::missing, "the host '" + endpoint.host + "' has no address");
    for (const std::string_view line : split(*addresses, '\n')) {
        if (line.find("STREAM") == std::string_view::npos) continue;
        reached = connect_to(std::string(line.substr(0, line.find(' '))), endpoint.port, commands.signals(), end);
        if (reached || Clock::now() >= end) break;
    }
    return reached;
}

Result<void> reach_socket(const std::string& path, const Commands& commands, std::chrono::seconds limit) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return Error(Kind::usage, "the name '" + path + "' is too long");
    path.copy(address.sun_path, path.size());
    return connect_to(reinterpret_cast<const sockaddr*>(&address), sizeof address, path, commands.signals(),
                      commands.within(limit));
}

}  // namespace senv
