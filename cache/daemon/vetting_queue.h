// vetting_queue.h: narinfos that came and wait for somebody to check who signed them.
//
// Limits   Many are asked for at once, each may have max_narinfo_bytes, and whoever is asked may send as much. Of
//          those above large_narinfo_bytes at most most_large_narinfos are kept, from their arrival until done(); the
//          text of one more is thrown away, for it to be asked for again.
// Threads  Any.
#pragma once

#include <atomic>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "cache/daemon/mailbox.h"
#include "cache/daemon/origin_id.h"
#include "cache/fetch/transport.h"

namespace senv {

struct VetJob {
    OriginId origin{};
    std::string url;  // of the origin
    StorePath item;
    std::optional<NarinfoAnswer> answer;  // none: it was one too many
    bool is_large = false;                // done() is to follow
};

class VettingQueue {
public:
    void push(VetJob job) {
        const auto* text = job.answer ? std::get_if<std::string>(&*job.answer) : nullptr;
        if (text != nullptr && text->size() > large_narinfo_bytes) {
            job.is_large = large_.fetch_add(1) < most_large_narinfos;
            if (!job.is_large) {
                --large_;
                job.answer.reset();
            }
        }
        jobs_.push(std::move(job));
    }
    std::optional<VetJob> pop(const std::stop_token& stop) { return jobs_.pop(stop); }
    /// Nothing is kept any more of a job that is_large.
    void done() noexcept { --large_; }

private:
    Mailbox<VetJob> jobs_;
    std::atomic<std::size_t> large_{0};
};

}  // namespace senv
