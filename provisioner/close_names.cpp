#include "provisioner/close_names.h"

#include <algorithm>

namespace senv {

namespace {

constexpr std::size_t max_proposals = 3;
constexpr std::size_t short_name = 4;

std::string lower(std::string_view text) {
    std::string lowered(text);
    for (char& c : lowered) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return lowered;
}

// Letters to insert, remove, replace or exchange with their neighbour to make one of the other; above `limit` any more.
std::size_t distance(std::string_view a, std::string_view b, std::size_t limit) {
    if (a.size() > b.size() + limit || b.size() > a.size() + limit) return limit + 1;
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            const bool exchanged = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (exchanged) row[j] = std::min(row[j], before_last[j - 2] + 1);
        }
        std::swap(before_last, last);
        std::swap(last, row);
    }
    return last[b.size()];
}

}  // namespace

std::vector<std::string> close_names(std::string_view wanted, std::span<const std::string> names) {
    const std::size_t limit = wanted.size() < 2 ? 0 : wanted.size() <= short_name ? 1 : 2;
    const std::string lowered = lower(wanted);
    std::vector<std::pair<std::size_t, std::string>> found;
    for (const auto& name : names) {
        const auto away = distance(lowered, lower(name), limit);
        if (away <= limit) found.emplace_back(away, name);
    }
    std::ranges::sort(found);
    std::vector<std::string> close;
    for (auto& [away, name] : found) {
        if (close.size() < max_proposals && std::ranges::find(close, name) == close.end())
            close.push_back(std::move(name));
    }
    return close;
}

}  // namespace senv
