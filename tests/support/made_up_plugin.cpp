// made_up_plugin.cpp: what a SPANK plugin for Slurm 22.05.8 has in it, for who only reads it.
extern "C" {
extern const char plugin_name[] = "made_up";
extern const unsigned int plugin_version = 0x160508;
}
