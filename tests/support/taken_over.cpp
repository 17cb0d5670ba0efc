// taken_over CONFIG: senvd whose fetcher was taken over. It is senvd in everything, but the fetcher, as soon as it is confined
// (and so before it has read a foreign byte), tries what somebody would try who executes code in it. Then it goes on fetching.
//
// What is attacked comes from the environment: SENV_STATE, the state folder, SENV_ITEM, a folder in its store with the file
// `share/text`, SENV_SOCKET, and senvd, which is the parent. SENV_ATTACKS=files leaves it at files: on a kernel that does not
// confine, the others would succeed, and hurt. A line on stderr for each try: "attack NAME: withstood, ERRNO" or
// "attack NAME: SUCCEEDED"; at the end "attacks: N tried".
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netdb.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cache/base/fd.h"
#include "cache/daemon/server.h"
#include "cache/fetch/fetcher.h"
#include "provisioner/profile.h"
#include "provisioner/senvd/config.h"

namespace {

int tried = 0;

/// `outcome`: what the call returned; -1 and errno when it failed.
void attack(const std::string& name, long outcome) {
    const int failed = errno;
    ++tried;
    if (outcome < 0) {
        std::fprintf(stderr, "attack %s: withstood, %s\n", name.c_str(), ::strerrorname_np(failed));
    } else {
        std::fprintf(stderr, "attack %s: SUCCEEDED\n", name.c_str());
    }
}

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

sockaddr_un address_of(const std::string& path, bool abstract) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + (abstract ? 1 : 0), path.data(), std::min(path.size(), sizeof address.sun_path - 2));
    return address;
}

void on_the_store(const std::string& state, const std::string& item) {
    const std::string file = item + "/share/text";
    // Modes first: what follows is then kept from it by something else than modes.
    attack("chmod an item's file", ::chmod(file.c_str(), 0644));
    attack("chmod an item", ::chmod(item.c_str(), 0755));
    attack("chmod a folder of an item", ::chmod((item + "/share").c_str(), 0755));
    attack("read an item", ::open(file.c_str(), O_RDONLY));
    attack("write an item", ::open(file.c_str(), O_WRONLY));
    attack("write an item too", ::open(file.c_str(), O_RDWR));
    attack("append to an item", ::open(file.c_str(), O_WRONLY | O_APPEND));
    attack("truncate an item by opening it", ::open(file.c_str(), O_RDONLY | O_TRUNC));
    attack("truncate an item", ::truncate(file.c_str(), 0));
    attack("openat2 an item",
           ::syscall(437, AT_FDCWD, file.c_str(), std::array<std::uint64_t, 3>{O_WRONLY, 0, 0}.data(), 24));
    attack("fchmodat an item", ::syscall(SYS_fchmodat, AT_FDCWD, item.c_str(), 0755));
    attack("fchmodat2 an item", ::syscall(452, AT_FDCWD, item.c_str(), 0755, 0));
    attack("chown an item", ::chown(item.c_str(), ::getuid(), ::getgid()));
    attack("set an item's time", ::utime(file.c_str(), nullptr));
    attack("set an item's attribute", ::setxattr(file.c_str(), "user.x", "x", 1, 0));
    attack("unlink an item's file", ::unlink(file.c_str()));
    attack("rename an item", ::rename(item.c_str(), (item + ".x").c_str()));
    attack("rename an item away", ::rename(item.c_str(), (state + "/staging/x").c_str()));
    attack("link an item's file", ::link(file.c_str(), (state + "/staging/x").c_str()));
    attack("remove a folder", ::rmdir((item + "/share").c_str()));
    attack("make a file in the store", ::open((state + "/store/x").c_str(), O_WRONLY | O_CREAT, 0644));
    attack("make a link in the store", ::symlink("/etc", (state + "/store/x").c_str()));
    attack("make a folder in staging", ::mkdir((state + "/staging/x").c_str(), 0755));
    attack("make a pipe in staging", ::mkfifo((state + "/staging/x").c_str(), 0644));
    attack("make a nameless file", ::open(state.c_str(), O_RDWR | O_TMPFILE, 0600));
    attack("read the catalog", ::open((state + "/db").c_str(), O_RDONLY));
    attack("write the catalog", ::open((state + "/db").c_str(), O_RDWR));
    attack("list the store", ::open((state + "/store").c_str(), O_RDONLY | O_DIRECTORY));
    attack("list the leases", ::open((state + "/leases").c_str(), O_RDONLY | O_DIRECTORY));
    const int place =
        ::open((state + "/store").c_str(), O_PATH | O_DIRECTORY);  // names a place, and allows nothing there
    if (place >= 0) {
        const auto below = "./" + item.substr(item.rfind('/') + 1) + "/share/text";
        attack("write an item from a place", ::openat(place, below.c_str(), O_WRONLY));
        attack("read an item from a place", ::openat(place, below.c_str(), O_RDONLY));
        attack("go to a place", ::fchdir(place));
        attack("open a place by its descriptor", ::open(("/proc/self/fd/" + std::to_string(place)).c_str(), O_RDONLY));
        ::close(place);
    }
}

void on_other_files() {
    attack("read /etc/passwd", ::open("/etc/passwd", O_RDONLY));
    attack("read /proc/version", ::open("/proc/version", O_RDONLY));
    attack("list /", ::open("/", O_RDONLY | O_DIRECTORY));
    attack("list /etc", ::open("/etc", O_RDONLY | O_DIRECTORY));
    attack("list /tmp", ::open("/tmp", O_RDONLY | O_DIRECTORY));
    attack("read a device", ::open("/dev/kmsg", O_RDONLY));
    attack("write a file that may be read", ::open("/etc/resolv.conf", O_WRONLY));
    attack("make a file in /tmp", ::open("/tmp/senv-taken-over", O_WRONLY | O_CREAT, 0644));
    attack("make a file in /dev/shm", ::open("/dev/shm/senv-taken-over", O_WRONLY | O_CREAT, 0644));
    attack("make a folder in /tmp", ::mkdir("/tmp/senv-taken-over", 0755));
    attack("creat", ::syscall(SYS_creat, "/tmp/senv-taken-over", 0644));
    attack("make a memory file", ::memfd_create("x", 0));
    attack("open by handle", ::syscall(SYS_open_by_handle_at, -1, nullptr, 0));
}

void on_sockets(const std::string& socket_path) {
    attack("a Unix socket", ::socket(AF_UNIX, SOCK_STREAM, 0));
    attack("a Unix datagram socket", ::socket(AF_UNIX, SOCK_DGRAM, 0));
    attack("a Unix packet socket", ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    attack("a packet socket", ::socket(AF_PACKET, SOCK_RAW, 0));
    attack("a vsock", ::socket(AF_VSOCK, SOCK_STREAM, 0));
    attack("a socket of the kernel's ciphers", ::socket(AF_ALG, SOCK_SEQPACKET, 0));
    attack("a netlink socket for events", ::socket(AF_NETLINK, SOCK_RAW, 15));
    attack("a netlink socket for netfilter", ::socket(AF_NETLINK, SOCK_RAW, 12));
    std::array<int, 2> pair{};
    attack("a pair of datagram sockets", ::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair.data()));
    attack("a pair of packet sockets", ::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair.data()));
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) == 0) {
        for (const bool abstract : {false, true}) {
            const sockaddr_un address = address_of(socket_path, abstract);
            const auto* to = reinterpret_cast<const sockaddr*>(&address);
            const std::string name = abstract ? " (abstract)" : "";
            attack("reach senvd by half a pair" + name, ::connect(pair[0], to, sizeof address));
            attack("send to senvd by half a pair" + name, ::sendto(pair[0], "x", 1, MSG_NOSIGNAL, to, sizeof address));
        }
        ::close(pair[1]);
        const sockaddr_un address = address_of(socket_path, false);
        attack("reach senvd by half a pair alone",
               ::connect(pair[0], reinterpret_cast<const sockaddr*>(&address), sizeof address));
        const sockaddr nobody = {};
        attack("take half a pair back", ::connect(pair[0], &nobody, sizeof nobody));
        ::close(pair[0]);
    }
    const sockaddr_un address = address_of(socket_path, false);
    attack("reach senvd by the channel",
           ::connect(senv::fetcher_control_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    attack("listen where the kernel likes", ::listen(server, 1));
    attack("accept", ::accept(server, nullptr, nullptr));
    ::close(server);
}

void on_processes(const std::string& state) {
    const pid_t senvd = ::getppid();
    const std::string proc = "/proc/" + std::to_string(senvd);
    for (const char* name : {"/mem", "/maps", "/environ", "/fd", "/root", "/cwd", "/exe", "/status"}) {
        attack("open senvd's " + std::string(name + 1), ::open((proc + name).c_str(), O_RDONLY));
    }
    attack("write senvd's memory", ::open((proc + "/mem").c_str(), O_RDWR));
    attack("set senvd's oom_score_adj", ::open((proc + "/oom_score_adj").c_str(), O_WRONLY));
    attack("the store through senvd's root", ::open((proc + "/root" + state + "/db").c_str(), O_RDONLY));
    attack("kill senvd, perhaps", ::kill(senvd, 0));
    attack("kill senvd", ::kill(senvd, SIGCONT));
    attack("kill all", ::kill(-1, SIGCONT));
    attack("kill the process group", ::kill(0, SIGCONT));
    attack("kill a thread of senvd", ::syscall(SYS_tgkill, senvd, senvd, SIGCONT));
    attack("kill any thread", ::syscall(SYS_tkill, senvd, SIGCONT));
    siginfo_t info = {};
    info.si_code = SI_QUEUE;
    attack("queue a signal for senvd", ::syscall(SYS_rt_sigqueueinfo, senvd, SIGCONT, &info));
    attack("queue a signal for a thread", ::syscall(SYS_rt_tgsigqueueinfo, senvd, senvd, SIGCONT, &info));
    attack("a descriptor of senvd", ::syscall(SYS_pidfd_open, senvd, 0));
    attack("a signal by descriptor", ::syscall(SYS_pidfd_send_signal, -1, 0, nullptr, 0));
    attack("take a descriptor from senvd", ::syscall(SYS_pidfd_getfd, -1, 0, 0));
    attack("own the log's signals", ::fcntl(STDERR_FILENO, F_SETOWN, senvd));
    attack("own the channel's signals", ::fcntl(senv::fetcher_control_fd, F_SETOWN, senvd));
    attack("choose the channel's signal", ::fcntl(senv::fetcher_control_fd, F_SETSIG, SIGCONT));
    attack("own the channel's signals by ioctl", ::ioctl(senv::fetcher_control_fd, 0x8901 /* FIOSETOWN */, &senvd));
    attack("trace senvd", ::ptrace(PTRACE_SEIZE, senvd, nullptr, nullptr));
    attack("attach to senvd", ::ptrace(PTRACE_ATTACH, senvd, nullptr, nullptr));
    attack("be traced by senvd", ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr));
    char byte = 0;
    const iovec here = {&byte, 1};
    const iovec there = {&tried, 1};
    attack("read senvd's memory by a call", ::process_vm_readv(senvd, &here, 1, &there, 1, 0));
    attack("write senvd's memory by a call", ::process_vm_writev(senvd, &here, 1, &there, 1, 0));
    attack("compare with senvd", ::syscall(SYS_kcmp, senvd, senvd, 0, 0, 0));
    const rlimit none = {0, 0};
    attack("limit senvd", ::prlimit(senvd, RLIMIT_NOFILE, &none, nullptr));
    rlimit old = {};
    attack("see senvd's limits", ::prlimit(senvd, RLIMIT_NOFILE, nullptr, &old));
    const rlimit more = {RLIM_INFINITY, RLIM_INFINITY};
    attack("raise its limits", ::setrlimit(RLIMIT_CORE, &more));
    attack("slow senvd down", ::setpriority(PRIO_PROCESS, static_cast<id_t>(senvd), 19));
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    attack("bind senvd", ::sched_setaffinity(senvd, sizeof cpus, &cpus));
    attack("be dumpable", ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
    attack("outlive senvd", ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
    attack("type on the terminal", ::ioctl(STDERR_FILENO, TIOCSTI, "x"));
}

void on_the_kernel() {
    std::array<char*, 2> words = {nullptr, nullptr};
    std::string program = "/bin/true";
    words[0] = program.data();
    attack("exec", ::execve(program.c_str(), words.data(), nullptr));
    attack("execveat", ::syscall(SYS_execveat, AT_FDCWD, program.c_str(), words.data(), nullptr, 0));
    attack("fork", ::syscall(SYS_fork));
    attack("clone", ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    attack("clone a namespace", ::syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, nullptr, nullptr, nullptr, nullptr));
    attack("clone3", ::syscall(SYS_clone3, nullptr, 0));
    attack("a user namespace", ::unshare(CLONE_NEWUSER));
    attack("a mount namespace", ::unshare(CLONE_NEWNS));
    attack("a network namespace", ::unshare(CLONE_NEWUSER | CLONE_NEWNET));
    attack("enter a namespace", ::setns(STDERR_FILENO, 0));
    attack("mount", ::mount("none", "/tmp", "tmpfs", 0, nullptr));
    attack("unmount", ::umount2("/tmp", MNT_DETACH));
    attack("open a tree", ::syscall(SYS_open_tree, AT_FDCWD, "/", 0));
    attack("fsopen", ::syscall(SYS_fsopen, "tmpfs", 0));
    attack("pivot_root", ::syscall(SYS_pivot_root, "/tmp", "/tmp"));
    bpf_attr program_attributes = {};
    attack("bpf", ::syscall(SYS_bpf, BPF_MAP_CREATE, &program_attributes, sizeof program_attributes));
    io_uring_params ring = {};
    attack("io_uring", ::syscall(SYS_io_uring_setup, 4, &ring));
    attack("userfaultfd", ::syscall(SYS_userfaultfd, 1));
    perf_event_attr event = {};
    event.size = sizeof event;
    attack("perf", ::syscall(SYS_perf_event_open, &event, 0, -1, -1, 0));
    attack("a key", ::syscall(SYS_add_key, "user", "x", "x", 1, -3));
    attack("personality", ::syscall(SYS_personality, 0x0040000));
    attack("a user", ::setuid(0));
}

void on_descriptors() {
    // Whatever senvd has open must not be open here: stdin, stdout, stderr, the channel and the memory are.
    for (int fd = senv::fetcher_memory_fd + 1; fd < 1024; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) attack("use descriptor " + std::to_string(fd), 0);
    }
    attack("truncate the log", ::ftruncate(STDERR_FILENO, 0));
    attack("chmod the log", ::fchmod(STDERR_FILENO, 0666));
    attack("lock the log", ::flock(STDERR_FILENO, LOCK_SH | LOCK_NB));
    attack("chroot", ::chroot("/tmp"));
    attack("make a System V segment", ::shmget(IPC_PRIVATE, 4096, 0600));
    attack("make a System V queue", ::msgget(IPC_PRIVATE, 0600));
    attack("shrink the memory", ::ftruncate(senv::fetcher_memory_fd, 0));
    attack("unseal the memory", ::fcntl(senv::fetcher_memory_fd, 1033 /* F_ADD_SEALS */, 0));
}

/// What fetching needs must be possible all the same.
void what_must_work() {
    const auto works = [](const char* name, bool done) {
        std::fprintf(stderr, "%s: %s\n", name, done ? "works" : "FAILS");
    };
    addrinfo* found = nullptr;
    const int failed = ::getaddrinfo("localhost", "80", nullptr, &found);
    works("getaddrinfo", failed == 0 && found != nullptr);
    if (failed == 0) ::freeaddrinfo(found);
    works("CA certificates",
          ::access("/etc/ssl/certs", R_OK) == 0 && ::open("/etc/ssl/certs", O_RDONLY | O_DIRECTORY) >= 0);
}

void take_over() {
    const std::string state = variable("SENV_STATE");
    on_the_store(state, variable("SENV_ITEM"));
    on_other_files();
    if (variable("SENV_ATTACKS") != "files") {
        on_descriptors();
        on_sockets(variable("SENV_SOCKET"));
        on_processes(state);
        on_the_kernel();
    }
    what_must_work();
    std::fprintf(stderr, "attacks: %d tried\n", tried);
}

senv::Result<void> run(const std::string& file) {
    const auto text = SENV_TRY(senv::read_small_file(file, 65536));
    const auto config = SENV_TRY(senv::parse_config(text, file));
    return senv::serve(config, [](const std::string& store, const senv::StorePath& profile, const std::stop_token&) {
        return senv::plan_of_profile(store, profile);
    });
}

}  // namespace

int main(int argc, char** argv) {
    if (senv::is_fetcher(argc, argv)) return senv::fetcher_main([](const senv::Error&) {}, take_over);
    if (argc != 2) return 2;
    const auto done = senv::contained([&] { return run(argv[1]); });
    if (!done) std::fprintf(stderr, "taken_over: %s\n", done.error().what().c_str());
    return done ? 0 : 1;
}
