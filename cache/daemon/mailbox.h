// mailbox.h: how one thread of senvd gives another something to do.
//
// Threads  push() from any; pop() from any, each message goes to one of them. Neither holds the lock while anything else
//          happens.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "cache/base/fd.h"

namespace senv {

template <class T>
class Mailbox {
public:
    void push(T message) {
        {
            const std::lock_guard lock(mutex_);
            messages_.push_back(std::move(message));
        }
        changed_.notify_one();
    }

    /// The next message; nullopt at the deadline, or when `stop` was requested and none is left.
    std::optional<T> pop(const std::stop_token& stop, Deadline deadline) {
        std::unique_lock lock(mutex_);
        changed_.wait_until(lock, stop, deadline, [&] { return !messages_.empty(); });
        return take();
    }
    std::optional<T> pop(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [&] { return !messages_.empty(); });
        return take();
    }

private:
    std::optional<T> take() {
        if (messages_.empty()) return std::nullopt;
        std::optional<T> message(std::move(messages_.front()));
        messages_.pop_front();
        return message;
    }

    std::mutex mutex_;
    std::condition_variable_any changed_;
    std::deque<T> messages_;
};

}  // namespace senv
