// option_list.cpp: the options of srun, sbatch and salloc in Markdown, for senv-options(7). Run when senv is built.
#include <cstdio>

#include "spank/options.h"

int main() {
    for (const senv::OptionText& option : senv::option_texts) {
        const bool has_value = option.argument != nullptr;
        std::printf("**--%s**%s\n: %s\n\n", option.name,
                    has_value ? (std::string("=`") + option.argument + "`").c_str() : "", option.usage);
    }
}
