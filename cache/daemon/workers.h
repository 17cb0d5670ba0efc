// workers.h: threads that do one kind of job after the other, for the thread that gives them.
//
// Order    Jobs begin in the order in which they were given.
// Threads  push() from any; `work` is called on a thread of these. When the destructor returns they have ended, after
//          all jobs that were given before: whoever cannot wait for that looks at the stop token.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "cache/base/threads.h"
#include "cache/daemon/mailbox.h"

namespace senv {

/// `Box`: where jobs wait; has push() and pop() as a Mailbox.
template <class Job, class Box = Mailbox<Job>>
class Workers {
public:
    using Work = std::function<void(Job, const std::stop_token&)>;

    /// `name`: of the threads, at most 15 characters; must outlive this. `work` must not throw.
    Workers(const char* name, unsigned threads, Work work) : work_(std::move(work)) {
        for (unsigned i = 0; i < threads; ++i) {
            threads_.emplace_back([this, name](const std::stop_token& stop) {
                name_thread(name);
                while (auto job = box_->pop(stop)) work_(*std::move(job), stop);
            });
        }
    }
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    void push(Job job) { box_->push(std::move(job)); }
    /// Where jobs wait, for whoever may give one when these are gone: nobody does it then.
    std::shared_ptr<Box> box() const { return box_; }
    /// The threads end when no job is left; does not wait for that.
    void request_stop() {
        for (auto& thread : threads_) thread.request_stop();
    }

private:
    std::shared_ptr<Box> box_ = std::make_shared<Box>();
    Work work_;
    std::vector<std::jthread> threads_;
};

}  // namespace senv
