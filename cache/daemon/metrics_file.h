// metrics_file.h: a text that is kept in a file, for node_exporter's textfile collector.
//
// Shape    Written whole or not at all, mode 0644, through a name beside it that does not end in ".prom". At the start, then
//          every `period` when the text has changed, and at the end.
// Errors   A file that cannot be written is one warning in the log, until it could be written again.
// Threads  One of its own: a slow disk keeps nobody waiting.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "cache/base/result.h"

namespace senv {

class MetricsFile {
public:
    using Text = std::function<Result<std::string>()>;

    /// `text` is called on the thread, also in the destructor.
    MetricsFile(std::string path, Text text, std::chrono::milliseconds period);
    ~MetricsFile();
    MetricsFile(const MetricsFile&) = delete;
    MetricsFile& operator=(const MetricsFile&) = delete;

private:
    void run(const std::stop_token& stop);
    void write();

    const std::string path_;
    const Text text_;
    const std::chrono::milliseconds period_;
    // Of the thread:
    std::string written_;
    bool warned_ = false;
    std::jthread thread_;
};

}  // namespace senv
