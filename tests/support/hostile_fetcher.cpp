// hostile_fetcher: in the place of senvd's fetcher (cache/fetch/fetcher.h), one that does what it likes. It is not confined.
//
// What it does is in what it is asked for. Narinfos, by origin: "fake:text" answers with the item's name, "fake:silent" not at
// all, "fake:twice" two times, "fake:unasked" another one, "fake:long" with more than a narinfo may have, "fake:garbage" with
// bytes that are no message, "fake:huge" announces 4 GiB, "fake:ready" says again that it is ready, "fake:close" closes the
// channel and lives on, "fake:die" ends. Nars, by URL: "fake:WHAT:FILE"; WHAT is "good", or what serve() below says.
// SENV_HOSTILE_START: "die", "silent" or "garbage" before it is ready.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "cache/fetch/channel.h"
#include "cache/fetch/fetcher.h"
#include "cache/fetch/ring.h"

namespace {

using namespace senv;

std::mutex sending;

void send_bytes(const std::string& bytes) {
    const std::lock_guard lock(sending);
    (void)write_all(fetcher_control_fd, bytes);
}

void send_message(const channel::FromFetcher& message) {
    send_bytes(channel::encode(message));
}

[[noreturn]] void sleep_on() {
    for (;;) ::pause();
}

/// Changes what is published, all the time. It races on purpose: not for ThreadSanitizer to see.
[[gnu::no_sanitize("thread")]] void change(std::byte* slot, const std::atomic<bool>& done) {
    volatile unsigned char* at = reinterpret_cast<unsigned char*>(slot + ring_header_bytes);
    while (!done) {
        for (std::size_t i = 0; i < ring_buffers * ring_buffer_bytes; i += 64) at[i] = at[i] ^ 0xffU;
    }
}

/// Fills a slot, as told.
void serve(std::byte* slot, const channel::FetchNar& message) {
    const auto colon = message.url.find(':', 5);
    const std::string what = message.url.substr(5, colon - 5);
    const std::string file = colon == std::string::npos ? "" : message.url.substr(colon + 1);
    auto& header = *reinterpret_cast<RingHeader*>(slot);
    // senvd sees to it that the slot's last transfer has ended; this lets ThreadSanitizer see it, too.
    (void)header.ended.load();
    RingWriter ring(slot);
    ring.begin(message.ticket);
    std::string text = "some bytes";
    if (!file.empty()) text = read_small_file(file, std::size_t{1} << 30U).value();
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    const auto half = bytes.first(std::min(bytes.size() / 2, ring_buffer_bytes));
    // What a RingWriter would gather for a while; the reader looks again after a quarter of a second at the latest.
    const auto publish_half = [&] {
        std::memcpy(slot + ring_header_bytes, half.data(), half.size());
        header.lengths[0] = static_cast<std::uint32_t>(half.size());
        header.written = 1;
    };

    if (what == "good") {
        (void)ring.take(bytes);
        ring.end(std::nullopt);
    } else if (what == "refuse") {  // with a text that is no text
        ring.end(Refusal{Outcome::unusable, Error(Kind::corrupt, "fake: \x1b[31mred\nline"), std::nullopt});
    } else if (what == "changing") {  // what was published is changed all the time, until the reader is done
        std::atomic<bool> done{false};
        std::thread changer([&] { change(slot, done); });
        (void)ring.take(bytes);
        ring.end(std::nullopt);
        while (header.read != header.written && header.cancelled != message.ticket) std::this_thread::yield();
        done = true;
        changer.join();
    } else if (what == "counters") {  // more buffers than there are
        header.written = 1000;
        header.ended = message.ticket;
    } else if (what == "back") {  // fewer than were read
        publish_half();
        while (header.read == 0) std::this_thread::yield();
        header.written = 0;
    } else if (what == "lengths") {  // a buffer that holds more than it can
        header.lengths[0] = ring_buffer_bytes + 1;
        header.written = 1;
    } else if (what == "empty") {  // a buffer that holds nothing
        header.lengths[0] = 0;
        header.written = 1;
    } else if (what == "refusal") {  // a refusal longer than its place
        header.refusal_bytes = 1U << 31U;
        header.ended = message.ticket;
    } else if (what == "nonsense") {  // a refusal that is none
        header.refusal_bytes = 100;
        std::memset(header.refusal.data(), 0xff, 100);
        header.ended = message.ticket;
    } else if (what == "short") {  // ends well, but before the end
        (void)ring.take(half);
        ring.end(std::nullopt);
    } else if (what == "waits") {  // lies about who waits, all the time
        std::atomic<bool> done{false};
        std::thread liar([&] {
            while (!done) {
                header.reader_waits = 0x7fffffff;
                header.writer_waits = 0x7fffffff;
                std::this_thread::sleep_for(std::chrono::microseconds(100));
            }
        });
        (void)ring.take(bytes);
        ring.end(std::nullopt);
        done = true;
        liar.join();
    } else if (what == "flood") {  // bytes without end
        while (ring.take(bytes)) {
        }
        ring.end(std::nullopt);
    } else if (what == "die") {  // in the middle
        publish_half();
        while (header.read == 0) std::this_thread::yield();
        ::_exit(7);
    } else if (what == "stay") {  // in the middle; not even a cancelled transfer ends
        publish_half();
        sleep_on();
    }
    // "silent": nothing at all
}

void answer(const channel::AskNarinfo& ask) {
    const std::string what = ask.origin.substr(5);
    const channel::NarinfoCame good{ask.id, ask.item.base()};
    if (what == "text") send_message(good);
    if (what == "twice") send_message(good), send_message(good);
    if (what == "unasked") send_message(channel::NarinfoCame{ask.id + 1, "text"});
    if (what == "long") send_message(channel::NarinfoCame{ask.id, std::string(max_narinfo_bytes + 1, 'x')});
    if (what == "garbage") send_bytes(std::string(100'000, '\xa5'));
    if (what == "huge") send_bytes("\xff\xff\xff\xff\x11" + std::string(3, '\0'));
    if (what == "ready") send_message(channel::Ready{1, true, ""});
    if (what == "close") {
        ::shutdown(fetcher_control_fd, SHUT_RDWR);
        sleep_on();
    }
    if (what == "die") ::_exit(7);
}

std::optional<channel::ToFetcher> next(channel::Frames& frames) {
    std::string buffer(65536, '\0');
    for (;;) {
        auto frame = frames.next().value();
        if (frame) return channel::decode_to_fetcher(*frame).value();
        const ssize_t got = ::recv(fetcher_control_fd, buffer.data(), buffer.size(), 0);
        if (got <= 0) return std::nullopt;
        frames.add({buffer.data(), static_cast<std::size_t>(got)});
    }
}

}  // namespace

int main() {
    const char* value = std::getenv("SENV_HOSTILE_START");
    const std::string start = value != nullptr ? value : "";
    if (start == "die") return 3;
    channel::Frames frames;
    const auto first = next(frames);
    if (!first) return 0;
    const auto& setup = std::get<channel::Setup>(*first);
    if (start == "silent") sleep_on();
    if (start == "garbage") send_bytes("not a message at all");
    const SharedMemory memory = std::move(SharedMemory::map(Fd(fetcher_memory_fd), setup.transfers)).value();
    send_message(channel::Ready{7, true, ""});
    while (const auto message = next(frames)) {
        if (const auto* ask = std::get_if<channel::AskNarinfo>(&*message)) answer(*ask);
        if (const auto* fetch = std::get_if<channel::FetchNar>(&*message)) {
            std::thread([slot = memory.slot(fetch->slot), copy = *fetch] { serve(slot, copy); }).detach();
        }
    }
    ::_exit(0);
}
