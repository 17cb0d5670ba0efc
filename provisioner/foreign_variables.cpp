#include "provisioner/foreign_variables.h"

#include <algorithm>
#include <array>

#include "cache/base/text.h"
#include "cache/formats/store_path.h"

namespace senv {

namespace {

using enum Leads;

constexpr std::array<std::string_view, 18> install_folders = {
    "PREFIX",      "INSTALL_PREFIX", "EXEC_PREFIX", "BINDIR",         "SBINDIR",       "LIBEXECDIR",
    "DATAROOTDIR", "DATADIR",        "SYSCONFDIR",  "SHAREDSTATEDIR", "LOCALSTATEDIR", "LIBDIR",
    "INFODIR",     "MANDIR",         "INCLUDEDIR",  "PKGDATADIR",     "PKGLIBDIR",     "PKGINCLUDEDIR",
};
constexpr std::array<std::string_view, 1> component_path = {"component_path"};
constexpr std::array<std::string_view, 3> plugins = {"NET_PLUGIN", "TUNER_PLUGIN", "PROFILER_PLUGIN"};
constexpr std::array<std::string_view, 3> r_libraries = {"", "_USER", "_SITE"};
constexpr std::array<std::string_view, 6> lua_versions = {"", "_5_1", "_5_2", "_5_3", "_5_4", "_5_5"};

// Where the library reads the variable is said to people only: the plugin has no room for it.
constexpr ForeignVariables family(std::string_view, std::string_view name, std::span<const std::string_view> endings,
                                  Leads how, char separator, std::string_view) {
    return {name, endings, how, separator};
}
constexpr ForeignVariables whole(std::string_view library, std::string_view name, Leads how, std::string_view source,
                                 char separator = ':') {
    return family(library, name, {}, how, separator, source);
}

constexpr std::array table = {
    whole("glibc", "LD_LIBRARY_PATH", linker, "ld.so(8)"),
    whole("glibc", "LD_PRELOAD", linker, "ld.so(8)"),
    whole("glibc", "LD_AUDIT", linker, "ld.so(8)"),
    whole("glibc", "GCONV_PATH", location, "iconv/gconv_conf.c"),
    whole("glibc", "LOCPATH", location, "locale(7)"),
    family("Open MPI", "OPAL_", install_folders, location, ':', "opal/mca/installdirs/env"),
    family("Open MPI", "OMPI_MCA_", component_path, location, ':', "opal/mca/base: mca_base_component_path"),
    family("PRRTE", "PRTE_", install_folders, location, ':', "src/mca/prteinstalldirs/env"),
    family("PRRTE", "PRTE_MCA_", component_path, location, ':', "src/mca/base: mca_base_component_path"),
    family("OpenPMIx", "PMIX_", install_folders, location, ':', "src/mca/pinstalldirs/env"),
    family("OpenPMIx", "PMIX_MCA_", component_path, location, ':', "src/mca/base: mca_base_component_path"),
    whole("Intel MPI", "I_MPI_ROOT", location, "Intel MPI Library, developer reference"),
    whole("libfabric", "FI_PROVIDER_PATH", location, "fabric(7)"),
    whole("UCX", "UCX_MODULE_DIR", location, "src/ucs/config/global_opts.c"),
    whole("UCC", "UCC_COMPONENT_PATH", location, "src/core/ucc_global_opts.c"),
    family("NCCL", "NCCL_", plugins, location, ':', "NCCL, environment variables"),
    whole("hwloc", "HWLOC_PLUGINS_PATH", location, "hwloc, environment variables"),
    whole("OpenSSL", "OPENSSL_MODULES", location, "openssl-env(7)"),
    whole("OpenSSL", "OPENSSL_ENGINES", location, "openssl-env(7)"),
    whole("HDF5", "HDF5_PLUGIN_PATH", location, "HDF5, dynamically loaded filters"),
    whole("GDAL", "GDAL_DRIVER_PATH", location, "GDAL, configuration options"),
    whole("Qt", "QT_PLUGIN_PATH", location, "Qt, QCoreApplication::libraryPaths"),
    whole("GLib", "GIO_MODULE_DIR", location, "gio, environment variables"),
    whole("Python", "PYTHONHOME", location, "python(1)"),
    whole("Python", "PYTHONPATH", list, "python(1)"),
    whole("R", "R_HOME", location, "R(1)"),
    family("R", "R_LIBS", r_libraries, list, ':', "R, ?libPaths"),
    whole("Perl", "PERL5LIB", list, "perlrun(1)"),
    whole("Perl", "PERLLIB", list, "perlrun(1)"),
    whole("Ruby", "RUBYLIB", list, "ruby(1)"),
    whole("Ruby", "GEM_PATH", list, "gem environment"),
    family("Lua", "LUA_PATH", lua_versions, list, ';', "lua(1)"),
    family("Lua", "LUA_CPATH", lua_versions, list, ';', "lua(1)"),
    whole("Julia", "JULIA_BINDIR", location, "Julia, environment variables"),
    whole("Julia", "JULIA_DEPOT_PATH", list, "Julia, environment variables"),
    whole("Julia", "JULIA_LOAD_PATH", list, "Julia, environment variables"),
    whole("Guile", "GUILE_LOAD_PATH", list, "guile(1)"),
    whole("Guile", "GUILE_LOAD_COMPILED_PATH", list, "guile(1)"),
    whole("Guile", "GUILE_EXTENSIONS_PATH", list, "libguile/extensions.c"),
    whole("Octave", "OCTAVE_HOME", location, "octave(1)"),
    whole("Octave", "OCTAVE_PATH", list, "octave(1)"),
    whole("Tcl", "TCL_LIBRARY", location, "tclvars(n)"),
    whole("Tcl", "TCLLIBPATH", list, "tclvars(n)", ' '),
    whole("Node.js", "NODE_PATH", list, "node(1)"),
};

bool stands_in(const ForeignVariables& row, std::string_view name) {
    if (row.endings.empty()) return name == row.name;
    if (!name.starts_with(row.name)) return false;
    const auto rest = name.substr(row.name.size());
    // OMPI_MCA_mca_base_component_path: something stands between.
    if (row.endings.data() == component_path.data()) return rest.ends_with(component_path[0]);
    return std::ranges::find(row.endings, rest) != row.endings.end();
}

}  // namespace

std::span<const ForeignVariables> foreign_variables() {
    return table;
}

const ForeignVariables* foreign_variable(std::string_view name) {
    const auto found = std::ranges::find_if(table, [&](const auto& row) { return stands_in(row, name); });
    return found == table.end() ? nullptr : &*found;
}

bool names_folder_outside_store(std::string_view value) {
    constexpr std::string_view parts = ":;, ";
    while (!value.empty()) {
        const auto end = std::min(value.find_first_of(parts), value.size());
        const auto part = value.substr(0, end);
        if (part.find('/') != std::string_view::npos && !part.starts_with(store_prefix)) return true;
        value.remove_prefix(std::min(end + 1, value.size()));
    }
    return false;
}

std::string shown(const std::vector<Named>& all) {
    constexpr std::size_t max_bytes = 300;  // of one variable, and of all of them but one
    std::string text;
    for (const auto& one : all) {
        if (text.size() > max_bytes) return text + ", …";
        std::string value;
        for (const auto& element : one.elements) {
            if (value.size() > max_bytes) break;
            if (!value.empty()) value += one.separator;
            value += element;
        }
        text += (text.empty() ? "" : ", ") + one.variable + "=" + printable(value, max_bytes);
    }
    return text;
}

std::string pattern_that_keeps(const std::vector<Named>& all) {
    std::vector<std::string> names;
    for (const auto& one : all) names.push_back(one.variable);
    return names.size() == 1 ? "^" + names[0] + "$" : "^(" + join(names, "|") + ")$";
}

std::string_view folder_of_element(std::string_view element) {
    const auto pattern = element.find('?');
    if (pattern == std::string_view::npos) return element;
    const auto slash = element.rfind('/', pattern);
    return slash == std::string_view::npos ? "" : element.substr(0, slash);
}

}  // namespace senv
