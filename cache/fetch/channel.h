// channel.h: what senvd and its fetcher (fetcher.h) tell each other, beside the bytes of nars (ring.h).
//
// Shape    A stream socket. A message is `length:u32 type:u32` and `length` bytes of payload; numbers are little endian, a str
//          is `length:u32` and its bytes, without NUL. A stream and not packets, since a narinfo may have 1 MiB; many small
//          messages are read at once.
//            to the fetcher      1 SETUP           user_agent:str connect_s:u32 stall_s:u32 transfers:u32 folders:u32 folder:str…
//                                2 ASK_NARINFO     id:u64 origin:str item:str
//                                3 FETCH_NAR       slot:u32 ticket:u32 url:str compression:u32 nar_size:u64 left_ms:u64
//                                4 CANCEL          slot:u32 ticket:u32
//            from the fetcher   16 READY           landlock:u32 seccomp:u32 missing:str
//                               17 NARINFO         id:u64, then the text up to the end
//                               18 NARINFO_REFUSED id:u64 refusal
//          refusal: outcome:u32 kind:u32 wished_s:u32 (0: none) what:str hint:str. A nar ends in its ring.
// Order    SETUP is the first message and is answered by READY. Each ASK_NARINFO has one answer, in any order. Each FETCH_NAR
//          ends in the slot's ring, also when it was cancelled, and only then the slot gets another one.
// Limits   A message has at most max_message bytes; texts of refusals are cut at max_refusal_text and made printable.
// Trust    senvd believes nothing that the fetcher says: decode() bounds every length and number, and what does not fit is an
//          Error, after which the fetcher is ended.
// Errors   corrupt, naming what is wrong.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cache/base/result.h"
#include "cache/fetch/transport.h"

namespace senv::channel {

inline constexpr std::size_t header_bytes = 8;
inline constexpr std::size_t max_message = max_narinfo_bytes + 65536;
inline constexpr std::size_t max_refusal_text = 4096;  // of what:str; a hint has half of it
inline constexpr std::size_t max_refusal_bytes = 5 * 4 + max_refusal_text * 3 / 2 + 2 * 4;
inline constexpr std::uint32_t max_transfers = 128;
inline constexpr std::uint32_t max_folders = 256;

struct Setup {
    std::string user_agent;
    std::chrono::seconds connect{};
    std::chrono::seconds stall{};
    std::uint32_t transfers = 0;       // slots of the shared memory
    std::vector<std::string> folders;  // that the fetcher may read, beside what the system's resolver and TLS need
};
struct AskNarinfo {
    std::uint64_t id = 0;
    std::string origin;
    StorePath item;
};
struct FetchNar {
    std::uint32_t slot = 0;
    std::uint32_t ticket = 0;  // never 0; tells the transfers of a slot apart
    std::string url;
    Compression compression = Compression::none;
    std::uint64_t nar_size = 0;
    std::chrono::milliseconds left{};
};
struct Cancel {
    std::uint32_t slot = 0;
    std::uint32_t ticket = 0;
};
using ToFetcher = std::variant<Setup, AskNarinfo, FetchNar, Cancel>;

struct Ready {
    std::uint32_t landlock = 0;  // the version that confines the fetcher; 0: none
    bool seccomp = false;
    std::string missing;  // what it could not be kept from, for people; empty: nothing
};
struct NarinfoCame {
    std::uint64_t id = 0;
    NarinfoAnswer answer;
};
using FromFetcher = std::variant<Ready, NarinfoCame>;

std::string encode(const ToFetcher& message);
std::string encode(const FromFetcher& message);
/// As in a message, or alone in a ring: at most max_refusal_bytes.
std::string encode(const Refusal& refusal);

/// A message as it came.
struct Frame {
    std::uint32_t type = 0;
    std::string_view payload;  // until the next call of Frames
};

Result<ToFetcher> decode_to_fetcher(const Frame& frame);
Result<FromFetcher> decode_from_fetcher(const Frame& frame);
Result<Refusal> decode_refusal(std::string_view bytes);

/// Cuts a stream into messages. Holds at most one message and what was added last.
class Frames {
public:
    void add(std::string_view bytes);
    /// The next message that is complete. After an Error it must not be used again.
    Result<std::optional<Frame>> next();

private:
    std::string bytes_;
    std::size_t used_ = 0;
};

}  // namespace senv::channel
