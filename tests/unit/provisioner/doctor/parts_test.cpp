// The parts that look at one thing each.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <filesystem>
#include <fstream>

#include "cache/base/text.h"
#include "provisioner/doctor/plugin_file.h"
#include "provisioner/doctor/plugstack.h"
#include "provisioner/doctor/reach.h"
#include "provisioner/doctor/slurm.h"
#include "spank/options.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace senv {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::FailsWith;
using test::IsOk;

TEST(SlurmSetting, OfAFileAndOfScontrol) {
    const std::string text =
        "# TaskProlog=/no\n"
        "PLUGINDIR = /a:/b # where\n"
        "TaskPrologue=/no\n"
        "  PlugStackConfig         = (null)\r\n"
        "Empty=\n"
        "SLURM_CONF              = /etc/slurm/slurm.conf\n"
        "LaunchParameters=a=b,c\n";
    EXPECT_EQ(slurm_setting(text, "PluginDir"), "/a:/b");
    EXPECT_EQ(slurm_setting(text, "slurm_conf"), "/etc/slurm/slurm.conf");
    EXPECT_EQ(slurm_setting(text, "LaunchParameters"), "a=b,c");
    EXPECT_EQ(slurm_setting(text, "TaskProlog"), std::nullopt);
    EXPECT_EQ(slurm_setting(text, "PlugStackConfig"), std::nullopt);
    EXPECT_EQ(slurm_setting(text, "Empty"), std::nullopt);
    EXPECT_EQ(slurm_setting("", "Empty"), std::nullopt);
}

class PlugstackFile : public testing::Test {
protected:
    test::TempDir dir;

    std::string write(const std::string& name, const std::string& text) const {
        fs::create_directories(fs::path(dir / name).parent_path());
        std::ofstream(dir / name) << text;
        return dir / name;
    }
};

TEST_F(PlugstackFile, IncludesAreFollowedInTheirOrder) {
    const std::string deep = write("deep.conf", "required spank_senv.so a=1 # b=2\n");
    write("parts/2.conf",
          "# required /1/spank_senv.so\nrequired /1/spank_other.so\n\toptional\t/2/spank_senv_prolog.so \n");
    write("parts/1.conf", "include " + deep + "\ninclude ../nothing/*\n");
    write("parts/3.txt", "required /3/spank_senv.so\n");
    const auto lines =
        senv_plugins(write("plugstack.conf", "\nrequired\ninclude parts/*.conf\nnonsense /4/spank_senv.so"));
    ASSERT_THAT(lines, IsOk());
    ASSERT_EQ(lines->size(), 2U);
    EXPECT_EQ((*lines)[0].place(), deep + ":1");
    EXPECT_EQ((*lines)[0].plugin, "spank_senv.so");
    EXPECT_THAT((*lines)[0].words, testing::ElementsAre("a=1"));
    EXPECT_TRUE((*lines)[0].required);
    EXPECT_EQ((*lines)[1].place(), (dir / "parts/2.conf") + ":3");
    EXPECT_FALSE((*lines)[1].required);
    EXPECT_TRUE((*lines)[1].words.empty());
}

TEST_F(PlugstackFile, ThatIncludesItselfOrIsNotThere) {
    EXPECT_THAT(senv_plugins(write("plugstack.conf", "include *.conf\n")),
                FailsWith(Kind::corrupt, "include each other"));
    EXPECT_THAT(senv_plugins(dir / "nothing"), FailsWith(Kind::missing, "nothing"));
}

TEST(PluginFile, SeriesIsReadOutOfTheFile) {
    EXPECT_EQ(slurm_series_of(SENV_MADE_UP_PLUGIN).value(), "22.05");
    EXPECT_THAT(slurm_series_of("/bin/sh"), FailsWith(Kind::corrupt, "it has no plugin_version"));
    EXPECT_THAT(slurm_series_of("/nothing"), FailsWith(Kind::missing, "/nothing"));
}

TEST(PluginFile, OneThatWasCutIsCorruptAtMost) {
    const test::TempDir dir;
    fs::copy_file(SENV_MADE_UP_PLUGIN, dir / "plugin.so");
    for (auto size = fs::file_size(dir / "plugin.so"); size > 0;) {
        size = size > 512 ? size - size / 16 : size - 1;
        fs::resize_file(dir / "plugin.so", size);
        const auto series = slurm_series_of(dir / "plugin.so");
        if (series) {
            EXPECT_EQ(*series, "22.05") << size;
            EXPECT_GT(size, 1024U);
        } else {
            EXPECT_EQ(series.error().kind(), Kind::corrupt) << series.error().what();
        }
    }
}

TEST(PluginSettings, AreThoseOfThePlugin) {
    const std::vector<std::vector<std::string>> lines = {
        {},
        {"senv=/opt/senv", "socket=/s", "user=7", "store=/st", "slurm_commands=/c", "fetch_limit=604800"},
        {"senv=opt"},
        {"socket="},
        {"store"},
        {"slurm_commands=/a:/b"},
        {"user="},
        {"fetch_limit=0"},
        {"fetch_limit=604801"},
        {"fetch_limit=1s"},
        {"sokcet=/s"},
        {""},
        {"SENV=/opt/senv"},
    };
    for (const auto& words : lines) {
        std::vector<const char*> pointers;
        for (const std::string& word : words) pointers.push_back(word.c_str());
        const auto theirs = Settings::parse(pointers);
        const auto ours = PluginSettings::parse(words);
        const std::string shown = words.empty() ? "" : words[0];
        ASSERT_EQ(static_cast<bool>(ours), static_cast<bool>(theirs)) << shown;
        if (!ours) {
            EXPECT_THAT(ours, FailsWith(Kind::usage, "'" + shown + "'"));
            continue;
        }
        EXPECT_EQ(ours->senv, theirs->senv);
        EXPECT_EQ(ours->socket, theirs->socket);
        EXPECT_EQ(ours->user, theirs->user);
        EXPECT_EQ(ours->store, theirs->store);
        EXPECT_EQ(ours->slurm_commands, theirs->slurm_commands);
        EXPECT_EQ(ours->fetch_limit, theirs->fetch_limit);
    }
}

TEST(PluginSettings, HaveAllKeysOfThePlugin) {
    const char* word = "sokcet=/s";
    const std::string theirs = Settings::parse(std::span(&word, 1)).error().what();
    const std::string ours = PluginSettings::parse({word}).error().what();
    const std::string before = "the keys are ";
    ASSERT_NE(theirs.find(before), std::string::npos) << theirs;
    std::string keys = "one of ";
    for (const std::string_view key :
         split(std::string_view(theirs).substr(theirs.find(before) + before.size()), ' ')) {
        keys += std::string(key.substr(0, key.find(','))) + "=" + (key.ends_with(',') ? ", " : "");
    }
    EXPECT_THAT(ours, testing::EndsWith(keys));
}

TEST(Endpoint, OfUrls) {
    EXPECT_EQ(endpoint_of("http://host", "80").text(), "host:80");
    EXPECT_EQ(endpoint_of("http://host:8080/path:9", "80").text(), "host:8080");
    EXPECT_EQ(endpoint_of("https://[::1]/x", "443").text(), "::1:443");
    EXPECT_EQ(endpoint_of("guix://[::1]:7", "44146").text(), "::1:7");
}

class Reaching : public testing::Test {
protected:
    test::TempDir dir;
    Signals signals = Signals::hold().value();
    Fd listener = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    Endpoint endpoint = {"127.0.0.1", ""};

    Reaching() {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        auto* any = reinterpret_cast<sockaddr*>(&address);
        EXPECT_EQ(::bind(listener.get(), any, size), 0);
        EXPECT_EQ(::getsockname(listener.get(), any, &size), 0);
        endpoint.port = std::to_string(ntohs(address.sin_port));
    }
    Commands commands(const std::string& path) const { return {{{"PATH", path}}, signals, Clock::now() + 20s}; }
    void program(const std::string& name, const std::string& text) const {
        std::ofstream(dir / name) << "#!/bin/sh\n" << text << "\n";
        fs::permissions(dir / name, fs::perms::owner_all);
    }
};

TEST_F(Reaching, WhoListensAndWhoDoesNot) {
    const Commands real = commands("/usr/bin:/bin");
    EXPECT_THAT(reach(endpoint, real, 5s), FailsWith(Kind::io, "Connection refused"));
    ASSERT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_THAT(reach(endpoint, real, 5s), IsOk());
    program("getent", "exit 2");
    EXPECT_THAT(reach(endpoint, commands(dir.path()), 5s), FailsWith(Kind::missing, "there is no host '127.0.0.1'"));
    program("getent", "echo '::ffff:127.0.0.2 STREAM x'; echo '127.0.0.1 STREAM x'");
    EXPECT_THAT(reach(endpoint, commands(dir.path()), 5s), IsOk());  // the second address
}

TEST_F(Reaching, ACommandThatDoesNotEndIsEnded) {
    program("getent", "exec sleep 600");
    const auto begin = Clock::now();
    EXPECT_THAT(reach(endpoint, commands(dir.path().string() + ":/usr/bin:/bin"), 1s),
                FailsWith(Kind::busy, "'getent' gave no answer within 1 s"));
    EXPECT_LT(Clock::now() - begin, 15s);
}

}  // namespace
}  // namespace senv
