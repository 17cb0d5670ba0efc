#include "cache/daemon/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace senv {

namespace {

constexpr int listen_queue = 512;

struct sockaddr_un address_of(const std::string& path) {
    struct sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

Result<Fd> unix_socket() {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return Error::sys(errno, "cannot make a socket");
    return fd;
}

}  // namespace

Result<Fd> listen_at(const std::string& path) {
    const std::string doing = "cannot listen at '" + path + "'";
    if (path.size() >= sizeof(sockaddr_un::sun_path)) return Error(Kind::usage, doing + ": the name is too long");
    const auto address = address_of(path);
    const auto* raw = reinterpret_cast<const struct sockaddr*>(&address);
    struct stat found = {};
    if (::lstat(path.c_str(), &found) == 0) {
        if (!S_ISSOCK(found.st_mode)) return Error(Kind::usage, doing + ": it exists and is no socket");
        const Fd probe = SENV_TRY(unix_socket().in(doing));
        if (::connect(probe.get(), raw, sizeof address) == 0 || errno == EAGAIN) {
            return Error(Kind::busy, doing + ": another senvd answers there").hint("stop the other senvd first");
        }
        if (::unlink(path.c_str()) != 0) return Error::sys(errno, "cannot remove the old socket '" + path + "'");
    }
    Fd listener = SENV_TRY(unix_socket().in(doing));
    if (::bind(listener.get(), raw, sizeof address) != 0) return Error::sys(errno, doing);
    if (::chmod(path.c_str(), 0666) != 0) return Error::sys(errno, "cannot set the mode of '" + path + "'");
    if (::listen(listener.get(), listen_queue) != 0) return Error::sys(errno, doing);
    return listener;
}

}  // namespace senv
