// walk.h: one item's way through the origins: which one is asked next, and for what. Pure: no clock, no request.
//
// Shape    Trust and bytes are apart. First a narinfo that an authorised key signed is looked for, from origin to origin in
//          the configured order. Then the bytes are taken from the first origin, in the same order, that has a place for them:
//          the one that gave that narinfo; one before it that nobody authorised signs for, if its narinfo is for the same
//          contents; a mounted store, which has no narinfos. Origins that were not asked yet are asked when the others' bytes
//          were of no use.
//          A round ends when no origin is left. If one of them prepares the item, there is another round after a rest: of all
//          but those whose answer was of no use for good.
// Life     next() names a step; exactly one of the functions below it tells what came of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cache/base/result.h"
#include "cache/formats/hash.h"
#include "cache/formats/narinfo.h"

namespace senv {

/// Where an origin has the nar of an item.
struct Place {
    std::string url;  // absolute
    Compression compression = Compression::none;
};

/// What a narinfo says the bytes are.
struct Contents {
    Sha256 nar_hash;
    std::uint64_t nar_size = 0;
    bool operator==(const Contents&) const = default;
};

class Walk {
public:
    enum class Access : unsigned char {
        open,
        unwise,  // it was down lately: when no other is left
        later,   // it asked not to be asked now
    };
    struct Step {
        enum class What : unsigned char {
            ask,    // `origin` for its narinfo
            fetch,  // the nar from `origin`, at place()
            rest,   // a while, since `origin` prepares the item; then begin_round()
            wait,   // until an origin is no longer `later`; `origin` is one of them
            end,    // nobody has it: complaints() say why
        };
        What what;
        std::size_t origin = 0;
    };
    enum class Failure : unsigned char {
        passing,  // not in this round
        lasting,  // never
        soon,     // it prepares the item
    };

    /// `stores`: one for each origin; where a mounted store has the item, nullopt for others.
    explicit Walk(std::vector<std::optional<Place>> stores);

    Step next(const std::function<Access(std::size_t)>& access);

    /// An authorised narinfo came; the last one counts. Without a place its `no_place` says why.
    void signed_for(std::size_t origin, const Contents& contents, std::optional<Place> place,
                    std::optional<Error> no_place);
    /// A narinfo came that is not believed, for this reason.
    void claimed(std::size_t origin, const Contents& contents, Place place, Error doubt);
    void failed(std::size_t origin, Error error, Failure failure);

    /// Counts a try of the step that next() named last, the first being 1, until something came of it.
    unsigned count_try(std::size_t origin) noexcept { return ++origins_[origin].tries; }
    unsigned tries(std::size_t origin) const noexcept { return origins_[origin].tries; }
    void begin_round();

    const Place& place(std::size_t origin) const { return *origins_[origin].place; }
    const Error& complaint(std::size_t origin) const { return *origins_[origin].complaint; }
    /// The last one of each origin that has one, in order.
    std::vector<Error> complaints() const;

private:
    struct Origin {
        enum class Mark : unsigned char { fresh, out, soon, out_for_good };

        Mark mark = Mark::fresh;
        unsigned tries = 0;
        std::optional<Place> place{};
        std::optional<Contents> claim{};  // of one that is not believed
        std::optional<Error> complaint{};
    };

    std::optional<Step::What> wish(std::size_t index);

    std::vector<Origin> origins_;
    std::optional<Contents> contents_;  // what an authorised key signed
};

}  // namespace senv
