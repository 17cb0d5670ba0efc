#include "spank/siblings.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "cache/wire/frame.h"

namespace senv {

namespace {

constexpr auto look_up = std::chrono::milliseconds(200);  // how often a waiting task looks whether it still should
constexpr auto agree_limit = std::chrono::seconds(30);    // above what Slurm takes for its slurmctld

// A frame of protocol.md on its way between tasks: a PLAN or an ERROR.
Result<wire::Plan> decode(std::string_view frame) {
    if (frame.size() < wire::header_bytes) return Error(Kind::bug, "a task passed on too little");
    const auto bytes = std::as_bytes(std::span<const char>(frame)).first<wire::header_bytes>();
    const auto header = SENV_TRY(wire::Header::parse(bytes, wire::max_reply_bytes));
    const auto payload = frame.substr(wire::header_bytes);
    if (header.length != payload.size()) return Error(Kind::bug, "a task passed on half of an answer");
    if (header.type == wire::Type::plan) return wire::Plan::decode(payload);
    return wire::decode_error(payload);
}

}  // namespace

struct Siblings::Shared {
    std::atomic<std::uint32_t> arrived;   // tasks that came to enter()
    std::atomic<std::uint32_t> spoken;    // tasks that came to first_to_speak()
    std::atomic<std::uint32_t> noticed;   // tasks that came to first_to_notice()
    std::atomic<std::uint32_t> answered;  // 1: `answer` is complete; a futex
    std::atomic<std::uint32_t> agreed;    // 1: `agreed_on` is said; a futex
    std::atomic<std::uint32_t> agreed_on;
    std::uint32_t answer_bytes;
    std::array<char, wire::header_bytes + wire::max_reply_bytes> answer;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

Result<Siblings> Siblings::make() {
    Siblings siblings;
    siblings.file_ = Fd(::memfd_create("senv-step", MFD_CLOEXEC));
    if (!siblings.file_) return Error::sys(errno, "cannot make memory for the step's tasks");
    // New pages of the file read as zero, which is how all of Shared begins. They take memory once they are written to.
    if (::ftruncate(siblings.file_.get(), sizeof(Shared)) != 0) {
        return Error::sys(errno, "cannot make memory for the step's tasks");
    }
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, siblings.file_.get(), 0);
    if (memory == MAP_FAILED) return Error::sys(errno, "cannot map memory for the step's tasks");
    siblings.shared_ = static_cast<Shared*>(memory);
    std::array<int, 2> ends = {};
    if (::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return Error::sys(errno, "cannot make a socket for the step's tasks");
    }
    siblings.give_ = Fd(ends[0]);
    siblings.take_ = Fd(ends[1]);
    return siblings;
}

Siblings::Siblings(Siblings&& other) noexcept
    : shared_(std::exchange(other.shared_, nullptr)),
      file_(std::move(other.file_)),
      give_(std::move(other.give_)),
      take_(std::move(other.take_)) {}

Siblings& Siblings::operator=(Siblings&& other) noexcept {
    std::swap(shared_, other.shared_);
    file_ = std::move(other.file_);
    give_ = std::move(other.give_);
    take_ = std::move(other.take_);
    return *this;
}

Siblings::~Siblings() {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

Result<void> Siblings::pass_on(const Result<Fd>& made) {
    std::string text = made ? "namespace" : wire::encode_error(made.error());
    struct iovec piece = {text.data(), text.size()};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    struct msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (made) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = made->get();
        std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    if (::sendmsg(give_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        return Error::sys(errno, "cannot pass the mount namespace on to the other tasks");
    }
    return {};
}

Result<void> Siblings::enter(const std::function<Result<Fd>()>& make_namespace,
                             const std::function<Result<void>(const Fd&)>& join_it, std::chrono::milliseconds limit) {
    if (shared_->arrived.fetch_add(1) == 0) {
        const Result<Fd> made = make_namespace();
        const Result<void> told = pass_on(made);
        if (!made) return made.error();
        return told;
    }
    const Deadline deadline = Clock::now() + limit;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return Error(Kind::busy, "the step's first task did not make a mount namespace in time");
        struct pollfd waiting = {take_.get(), POLLIN, 0};
        const int n = ::poll(&waiting, 1, static_cast<int>(left));
        if (n > 0) break;
        if (n < 0 && errno != EINTR) return Error::sys(errno, "cannot wait for the step's first task");
    }
    // Not set to zero: that would take ten pages in each task, and mostly nine bytes come.
    std::array<char, 40 * 1024> text;
    struct iovec piece = {text.data(), text.size()};
    alignas(struct cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
    struct msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t n = ::recvmsg(take_.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0) return Error::sys(errno, "cannot hear from the step's first task");
    const auto* c = CMSG_FIRSTHDR(&message);
    if (c == nullptr) {
        const auto answer = decode(std::string_view(text.data(), static_cast<std::size_t>(n)));
        return answer ? Error(Kind::bug, "the step's first task sent no mount namespace") : answer.error();
    }
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return join_it(Fd(fd));
}

Result<wire::Plan> Siblings::answer() const {
    return decode(
        std::string_view(shared_->answer.data(), std::min<std::size_t>(shared_->answer_bytes, shared_->answer.size())));
}

// act() in one task, the others wait until it is done.
template <class Act>
Result<void> Siblings::once(std::atomic<std::uint32_t>& done, Act&& act,
                            const std::function<Result<void>()>& may_wait) {
    while (done.load() == 0) {
        struct flock lock = {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        if (::fcntl(file_.get(), F_SETLK, &lock) == 0) {
            if (done.load() != 0) break;
            SENV_TRY(act());
            done.store(1);
            ::syscall(SYS_futex, &done, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
            break;
        }
        SENV_TRY(may_wait());
        const struct timespec pause = {0, std::chrono::nanoseconds(look_up).count()};
        ::syscall(SYS_futex, &done, FUTEX_WAIT, 0, &pause, nullptr, 0);
    }
    return {};
}

Result<wire::Plan> Siblings::share(const std::function<Result<wire::Plan>()>& produce,
                                   const std::function<Result<void>()>& may_wait) {
    const auto act = [&]() -> Result<void> {
        const auto plan = produce();
        const std::string frame = plan ? plan->encode() : wire::encode_error(plan.error());
        if (frame.size() > shared_->answer.size()) return Error(Kind::bug, "an answer is too long to pass on");
        frame.copy(shared_->answer.data(), frame.size());
        shared_->answer_bytes = static_cast<std::uint32_t>(frame.size());
        return {};
    };
    SENV_TRY(once(shared_->answered, act, may_wait));
    return answer();
}

bool Siblings::agree(const std::function<bool()>& ask) {
    const auto act = [&]() -> Result<void> {
        shared_->agreed_on.store(ask() ? 1 : 0);
        return {};
    };
    const Deadline deadline = Clock::now() + agree_limit;
    const auto may_wait = [&]() -> Result<void> {
        if (Clock::now() < deadline) return {};
        return Error(Kind::busy, "the step's first task did not answer in time");
    };
    return !once(shared_->agreed, act, may_wait) || shared_->agreed_on.load() != 0;
}

bool Siblings::first_to_speak() {
    return shared_->spoken.exchange(1) == 0;
}

bool Siblings::first_to_notice() {
    return shared_->noticed.exchange(1) == 0;
}

}  // namespace senv
