#include "cache/daemon/metrics_file.h"

#include <condition_variable>
#include <mutex>

#include "cache/base/fd.h"
#include "cache/base/threads.h"
#include "cache/daemon/log.h"

namespace senv {

MetricsFile::MetricsFile(std::string path, Text text, std::chrono::milliseconds period)
    : path_(std::move(path)), text_(std::move(text)), period_(period) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

MetricsFile::~MetricsFile() = default;  // the thread is the last member: it ends before what it uses does

void MetricsFile::run(const std::stop_token& stop) {
    name_thread("senvd-metrics");
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
        write();
        never.wait_for(lock, stop, period_, [] { return false; });
    }
    write();
}

void MetricsFile::write() {
    const auto done = contained([&]() -> Result<void> {
        std::string text = SENV_TRY(text_());
        if (text == written_) return {};
        SENV_TRY(replace_file(path_, text, 0644));
        written_ = std::move(text);
        return {};
    });
    if (!done && !std::exchange(warned_, true)) log_error(Level::warning, "metrics-file", done.error());
    if (done) warned_ = false;
}

}  // namespace senv
