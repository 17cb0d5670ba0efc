#include "cache/store/catalog.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "cache/base/text.h"

namespace senv {

namespace {

constexpr int schema_version = 2;
constexpr const char* schema = R"(
    BEGIN;
    CREATE TABLE items (
        base TEXT PRIMARY KEY,          -- HASH-NAME
        nar_hash BLOB NOT NULL,         -- SHA-256, 32 bytes
        nar_size INTEGER NOT NULL,
        refs TEXT NOT NULL,             -- HASH-NAME, separated by blanks, as in a narinfo
        added INTEGER NOT NULL,
        durable INTEGER NOT NULL,
        disk INTEGER NOT NULL,          -- bytes; 0: not counted
        inodes INTEGER NOT NULL,
        damaged INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE profiles (base TEXT PRIMARY KEY, last_use INTEGER NOT NULL) WITHOUT ROWID;
    PRAGMA user_version = 2;
    COMMIT;
)";
constexpr const char* from_version_1 = R"(
    BEGIN;
    ALTER TABLE items ADD COLUMN disk INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE items ADD COLUMN inodes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE items ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
    PRAGMA user_version = 2;
    COMMIT;
)";

struct DbCloser {
    void operator()(sqlite3* db) const noexcept { ::sqlite3_close_v2(db); }
};
struct StatementCloser {
    void operator()(sqlite3_stmt* statement) const noexcept { ::sqlite3_finalize(statement); }
};
using Db = std::unique_ptr<sqlite3, DbCloser>;

Error error_of(sqlite3* db, std::string_view doing) {
    const int code = ::sqlite3_errcode(db);
    if (code == SQLITE_FULL) return Error::sys(ENOSPC, doing);
    const Kind kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? Kind::corrupt : Kind::io;
    return {kind, std::string(doing) + ": " + ::sqlite3_errmsg(db)};
}

Result<void> execute(sqlite3* db, const char* sql, std::string_view doing) {
    if (::sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error_of(db, doing);
    return {};
}

class Statement {
public:
    static Result<Statement> prepare(sqlite3* db, const char* sql) {
        sqlite3_stmt* raw = nullptr;
        if (::sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK) {
            return error_of(db, "cannot read the catalog");
        }
        return Statement(db, raw);
    }

    Statement& text(int at, std::string_view value) {
        ::sqlite3_bind_text(get(), at, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
        return *this;
    }
    Statement& blob(int at, std::span<const std::byte> value) {
        ::sqlite3_bind_blob(get(), at, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
        return *this;
    }
    Statement& number(int at, std::int64_t value) {
        ::sqlite3_bind_int64(get(), at, value);
        return *this;
    }

    /// True: there is a row. After the last row, and after an error, the statement can be used again.
    Result<bool> step() {
        const int code = ::sqlite3_step(get());
        if (code == SQLITE_ROW) return true;
        Result<bool> result = false;
        if (code != SQLITE_DONE) result = error_of(db_, "cannot use the catalog");
        reset();
        return result;
    }
    Result<void> run() {
        SENV_TRY(step());
        return {};
    }
    void reset() {
        ::sqlite3_reset(get());
        ::sqlite3_clear_bindings(get());
    }

    std::string_view text_at(int column) const {
        const auto* bytes = reinterpret_cast<const char*>(::sqlite3_column_text(get(), column));
        return {bytes == nullptr ? "" : bytes, static_cast<std::size_t>(::sqlite3_column_bytes(get(), column))};
    }
    std::span<const std::byte> blob_at(int column) const {
        const auto* bytes = static_cast<const std::byte*>(::sqlite3_column_blob(get(), column));
        return {bytes, bytes == nullptr ? 0 : static_cast<std::size_t>(::sqlite3_column_bytes(get(), column))};
    }
    std::int64_t number_at(int column) const { return ::sqlite3_column_int64(get(), column); }

private:
    Statement(sqlite3* db, sqlite3_stmt* raw) : db_(db), raw_(raw) {}
    sqlite3_stmt* get() const noexcept { return raw_.get(); }

    sqlite3* db_;
    std::unique_ptr<sqlite3_stmt, StatementCloser> raw_;
};

Result<ItemRecord> record_of(const Statement& row) {
    ItemRecord record{SENV_TRY(StorePath::parse(row.text_at(0))), {}, 0, {}, 0, false, {}};
    const auto hash = row.blob_at(1);
    if (hash.size() != record.nar_hash.bytes.size()) {
        return Error(Kind::corrupt, "cannot use the catalog: the hash of '" + record.path.base() + "' is damaged");
    }
    std::copy(hash.begin(), hash.end(), record.nar_hash.bytes.begin());
    record.nar_size = static_cast<std::uint64_t>(row.number_at(2));
    if (const auto refs = row.text_at(3); !refs.empty()) {
        for (const auto ref : split(refs, ' ')) record.references.push_back(SENV_TRY(StorePath::parse(ref)));
    }
    record.added = row.number_at(4);
    record.durable = row.number_at(5) != 0;
    record.room = {static_cast<std::uint64_t>(row.number_at(6)), static_cast<std::uint64_t>(row.number_at(7))};
    if (record.room.bytes == 0) record.room = guessed_room(record.nar_size);
    record.damaged = row.number_at(8) != 0;
    return record;
}

}  // namespace

struct Catalog::State {
    Db db;
    Statement find;
    Statement add;
    Statement remove;
    Statement mark_durable;
    Statement mark_damaged;
    Statement record_use;
    Statement forget;

    /// Runs `body` in one transaction.
    template <class F>
    Result<void> together(F&& body) {
        SENV_TRY(execute(db.get(), "BEGIN IMMEDIATE", "cannot write the catalog"));
        Result<void> done = body();
        if (done) done = execute(db.get(), "COMMIT", "cannot write the catalog");
        if (!done) (void)execute(db.get(), "ROLLBACK", "");
        return done;
    }
    /// The same, and waits for the disk.
    template <class F>
    Result<void> surely(F&& body) {
        constexpr std::string_view doing = "cannot write the catalog";
        SENV_TRY(execute(db.get(), "PRAGMA synchronous = FULL", doing));
        auto done = together(std::forward<F>(body));
        SENV_TRY(execute(db.get(), "PRAGMA synchronous = NORMAL", doing));
        return done;
    }
};

Catalog::Catalog(std::unique_ptr<State> state) : state_(std::move(state)) {}
Catalog::~Catalog() = default;
Catalog::Catalog(Catalog&&) noexcept = default;
Catalog& Catalog::operator=(Catalog&&) noexcept = default;

Result<Catalog> Catalog::open(const std::string& file) {
    const std::string doing = "cannot open the catalog '" + file + "'";
    sqlite3* raw = nullptr;
    // unix-excl: for this process only, and without a file that is mapped into memory. A full disk would end it by SIGBUS there,
    // where the file system's blocks are smaller than pages.
    const int opened = ::sqlite3_open_v2(
        file.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
        "unix-excl");
    Db db(raw);
    if (opened != SQLITE_OK) return error_of(db.get(), doing);
    ::sqlite3_busy_timeout(db.get(), 10'000);
    SENV_TRY(execute(db.get(),
                     "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;"
                     "PRAGMA cache_size = -2048;",
                     doing));
    std::int64_t version = 0;
    {
        auto ask = SENV_TRY(Statement::prepare(db.get(), "PRAGMA user_version").in(doing));
        if (SENV_TRY(ask.step().in(doing))) version = ask.number_at(0);
    }
    if (version == 0) SENV_TRY(execute(db.get(), schema, doing));
    if (version == 1) SENV_TRY(execute(db.get(), from_version_1, doing));
    if (version > schema_version) {
        return Error(Kind::usage, doing + ": a newer senvd made it (version " + std::to_string(version) + ")")
            .hint("install that newer release, or empty the state folder");
    }
    const auto prepare = [&](const char* sql) { return Statement::prepare(db.get(), sql).in(doing); };
    auto find = SENV_TRY(prepare("SELECT * FROM items WHERE base = ?"));
    auto add = SENV_TRY(prepare("INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
    auto remove = SENV_TRY(prepare("DELETE FROM items WHERE base = ?"));
    auto mark = SENV_TRY(prepare("UPDATE items SET durable = 1 WHERE base = ?"));
    auto damaged = SENV_TRY(prepare("UPDATE items SET damaged = 1 WHERE base = ?"));
    auto use =
        SENV_TRY(prepare("INSERT INTO profiles VALUES (?, ?) ON CONFLICT (base) DO UPDATE "
                         "SET last_use = max(last_use, excluded.last_use)"));
    auto forget = SENV_TRY(prepare("DELETE FROM profiles WHERE base = ?"));
    return Catalog(
        std::make_unique<State>(State{std::move(db), std::move(find), std::move(add), std::move(remove),
                                      std::move(mark), std::move(damaged), std::move(use), std::move(forget)}));
}

Result<std::optional<ItemRecord>> Catalog::find(const StorePath& path) {
    auto record = SENV_TRY(row(path));
    if (record && record->damaged) record.reset();
    return record;
}

Result<std::optional<ItemRecord>> Catalog::row(const StorePath& path) {
    auto& statement = state_->find.text(1, path.base());
    if (!SENV_TRY(statement.step())) return std::optional<ItemRecord>();
    auto record = record_of(statement);
    statement.reset();
    return std::optional<ItemRecord>(SENV_TRY(std::move(record)));
}

Result<void> Catalog::add(const ItemRecord& item) {
    std::string refs;
    for (const auto& reference : item.references) {
        if (!refs.empty()) refs += ' ';
        refs += reference.base();
    }
    return state_->add.text(1, item.path.base())
        .blob(2, item.nar_hash.bytes)
        .number(3, static_cast<std::int64_t>(item.nar_size))
        .text(4, refs)
        .number(5, item.added)
        .number(6, item.durable ? 1 : 0)
        .number(7, static_cast<std::int64_t>(item.room.bytes))
        .number(8, static_cast<std::int64_t>(item.room.inodes))
        .number(9, item.damaged ? 1 : 0)
        .run();
}

Result<void> Catalog::remove(std::span<const StorePath> paths) {
    return state_->surely([&]() -> Result<void> {
        for (const auto& path : paths) SENV_TRY(state_->remove.text(1, path.base()).run());
        return {};
    });
}

Result<void> Catalog::mark_damaged(const StorePath& path) {
    return state_->surely([&] { return state_->mark_damaged.text(1, path.base()).run(); });
}

Result<void> Catalog::mark_durable(std::span<const StorePath> paths) {
    return state_->together([&]() -> Result<void> {
        for (const auto& path : paths) SENV_TRY(state_->mark_durable.text(1, path.base()).run());
        return {};
    });
}

Result<void> Catalog::for_each(const std::function<void(ItemRecord)>& visit) {
    auto all = SENV_TRY(Statement::prepare(state_->db.get(), "SELECT * FROM items ORDER BY base"));
    while (SENV_TRY(all.step())) visit(SENV_TRY(record_of(all)));
    return {};
}

Result<Totals> Catalog::totals() {
    auto sum = SENV_TRY(Statement::prepare(state_->db.get(), "SELECT count(*), total(nar_size) FROM items"));
    Totals totals;
    if (SENV_TRY(sum.step())) {
        totals = {static_cast<std::uint64_t>(sum.number_at(0)), static_cast<std::uint64_t>(sum.number_at(1))};
    }
    return totals;
}

Result<void> Catalog::record_uses(std::span<const ProfileUse> uses) {
    return state_->together([&]() -> Result<void> {
        for (const auto& use : uses) {
            SENV_TRY(state_->record_use.text(1, use.profile.base()).number(2, use.last_use).run());
        }
        return {};
    });
}

Result<void> Catalog::leave_the_future(std::int64_t now) {
    const std::string late = std::to_string(now);
    const std::string cut = "UPDATE profiles SET last_use = " + late + " WHERE last_use > " + late +
                            "; UPDATE items SET added = " + late + " WHERE added > " + late;
    return state_->together([&] { return execute(state_->db.get(), cut.c_str(), "cannot write the catalog"); });
}

Result<std::vector<ProfileUse>> Catalog::profiles() {
    auto all = SENV_TRY(Statement::prepare(state_->db.get(), "SELECT base, last_use FROM profiles ORDER BY base"));
    std::vector<ProfileUse> uses;
    while (SENV_TRY(all.step())) {
        uses.push_back({SENV_TRY(StorePath::parse(all.text_at(0))), all.number_at(1)});
    }
    return uses;
}

Result<void> Catalog::forget_profiles(std::span<const StorePath> profiles) {
    return state_->together([&]() -> Result<void> {
        for (const auto& profile : profiles) SENV_TRY(state_->forget.text(1, profile.base()).run());
        return {};
    });
}

Result<void> Catalog::checkpoint() {
    return execute(state_->db.get(), "PRAGMA wal_checkpoint(PASSIVE)", "cannot write the catalog");
}

}  // namespace senv
