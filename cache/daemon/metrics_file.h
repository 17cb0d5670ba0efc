// metrics_file.h: a text that is kept in a file, for node_exporter's textfile collector.
//
// Shape    Written whole or not at all, mode 0644, through a name beside it that does not end in ".prom". At the start, then
//          after each `wait` when the text has changed, and at the end.
// Errors   A file that cannot be written is one warning in the log, until it could be written again.
// Threads  One of its own: a slow disk keeps nobody waiting.
#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "cache/base/result.h"

namespace senv {

class MetricsFile {
public:
    using Text = std::function<Result<std::string>()>;
    using Wait = std::function<void(const std::stop_token&)>;

    /// Both are called on the thread, `text` also in the destructor; `wait` returns when it is time to look at the text again.
    MetricsFile(std::string path, Text text, Wait wait);
    ~MetricsFile();
    MetricsFile(const MetricsFile&) = delete;
    MetricsFile& operator=(const MetricsFile&) = delete;

private:
    void run(const std::stop_token& stop);
    void write();

    const std::string path_;
    const Text text_;
    const Wait wait_;
    // Of the thread:
    std::string written_;
    bool warned_ = false;
    std::jthread thread_;
};

/// For MetricsFile: always the same time.
MetricsFile::Wait every(std::chrono::milliseconds period);

}  // namespace senv
