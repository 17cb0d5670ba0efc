// verification.h: one `senv verify`: which items are still to be checked, what was found, what is being repaired.
// Pure: others hash, fetch and answer.
//
// Life     begin(); then next() until it has nothing more; after each checked(), repaired() or not_repaired(), next()
//          again. done() gives the result once, when nothing is left. One at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "cache/base/fd.h"
#include "cache/daemon/report.h"
#include "cache/formats/store_path.h"
#include "cache/store/closure.h"
#include "cache/wire/messages.h"

namespace senv {

class Verification {
public:
    static constexpr std::chrono::seconds progress_period{1};

    /// What is to be checked.
    struct Task {
        std::vector<StorePath> items;
        std::uint64_t bytes = 0;  // of nar

        void add(const ItemRecord& record) {
            items.push_back(record.path);
            bytes += record.nar_size;
        }
    };
    /// Hash this tree; then checked().
    struct Check {
        ItemRecord record;
    };
    /// The item is damaged and is to be fetched again; then repaired() or not_repaired().
    struct Repair {
        StorePath item;
    };
    using Step = std::variant<Check, Repair>;
    enum class Judgement : unsigned char {
        nothing,     // it is whole, or was evicted, or is checked again
        unreadable,  // this node could not read it: that says nothing about the item
        damaged,     // nobody is to get it from now on; then condemned()
    };
    struct Ended {
        std::uint64_t client;
        bool repair;
        Verified result;
    };

    bool is_running() const noexcept { return run_.has_value(); }
    /// Not while one is running.
    void begin(std::uint64_t client, bool repair, Task task);
    /// What is to be done next; nullopt: nothing, or something must end first. `row`: as in the catalog, damaged ones
    /// too.
    std::optional<Step> next(const FindItem& row);

    /// `row`: of the item, now.
    Judgement checked(const StorePath& item, const Result<void>& found, const Result<std::optional<ItemRecord>>& row);
    /// The item counts as missing now, since `why`; or it could not be made to.
    std::optional<Repair> condemned(const StorePath& item, const Error& why, const Result<void>& done);
    /// The item was fetched again.
    void repaired(const StorePath& item);
    /// False: nobody had asked for that.
    bool not_repaired(const StorePath& item, const Error& why);
    void evicted(const StorePath& item);

    /// How far it is, for this client; at most every progress_period.
    std::optional<std::pair<std::uint64_t, wire::Progress>> progress(Deadline now);
    std::optional<Ended> done();

private:
    struct Run {
        std::uint64_t client;
        bool repair;
        std::vector<StorePath> to_check;
        std::uint32_t items;
        std::uint64_t bytes;  // of all these
        std::optional<StorePath> checking{};
        bool disturbed = false;  // what is being checked was evicted or replaced meanwhile
        std::set<StorePath> repairing{};
        Deadline next_progress{};
        Verified result{};
    };

    std::optional<Repair> damaged(const StorePath& item, const Error& why);

    std::optional<Run> run_;
};

}  // namespace senv
