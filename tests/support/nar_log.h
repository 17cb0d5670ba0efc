// nar_log.h: a NarSink that writes down what it gets, one line per call; file data as it is, however it was cut.
#pragma once

#include <string>

#include "cache/formats/nar.h"

namespace senv::test {

class NarLog final : public NarSink {
public:
    Result<void> enter_directory(std::string_view name) override { return add("directory '", name, "'\n"); }
    Result<void> leave_directory() override { return add("leave\n"); }
    Result<void> begin_file(std::string_view name, bool executable, std::uint64_t size) override {
        return add(executable ? "executable '" : "file '", name, "' ", std::to_string(size), ": ");
    }
    Result<void> file_data(std::span<const std::byte> bytes) override {
        return add(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    Result<void> end_file() override { return add("\n"); }
    Result<void> symlink(std::string_view name, std::string_view target) override {
        return add("link '", name, "' to '", target, "'\n");
    }

    const std::string& text() const noexcept { return text_; }

private:
    template <class... Parts>
    Result<void> add(const Parts&... parts) {
        ((text_ += parts), ...);
        return {};
    }

    std::string text_;
};

}  // namespace senv::test
