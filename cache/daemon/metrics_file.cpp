#include "cache/daemon/metrics_file.h"

#include <condition_variable>
#include <mutex>

#include "cache/base/fd.h"
#include "cache/base/threads.h"
#include "cache/daemon/log.h"

namespace senv {

MetricsFile::MetricsFile(std::string path, Text text, Wait wait)
    : path_(std::move(path)), text_(std::move(text)), wait_(std::move(wait)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

MetricsFile::~MetricsFile() = default;  // the thread is the last member: it ends before what it uses does

void MetricsFile::run(const std::stop_token& stop) {
    name_thread("senvd-metrics");
    while (!stop.stop_requested()) {
        write();
        wait_(stop);
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

MetricsFile::Wait every(std::chrono::milliseconds period) {
    return [period](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait_for(lock, stop, period, [] { return false; });
    };
}

}  // namespace senv
