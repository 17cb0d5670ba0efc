// pingpong [--max BYTES]: messages of growing size go from rank 0 to rank N-1 and back. Rank 0 first tells, for every
// rank, where it runs and which MPI and PMIx files it has mapped: that is what tests of environments want to know.
//
// t[usec] is half of a round trip, Mbytes/sec (10^6 bytes) follows from it, as in the IMB PingPong table.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_REPETITIONS = 200, BYTES_PER_SIZE = 16 << 20, INFO = 2048, LARGEST = 4 << 20 };

static int is_mpi_library(const char* file) {
    const char* base = strrchr(file, '/');
    base = base ? base + 1 : file;
    return strncmp(base, "libmpi", 6) == 0 || strncmp(base, "libpmix", 7) == 0;
}

// Appends each distinct mapped file that is_mpi_library(), separated by spaces.
static void mapped_libraries(char* text, size_t size) {
    char line[4096];
    FILE* maps = fopen("/proc/self/maps", "r");
    if (!maps) return;
    while (fgets(line, sizeof line, maps)) {
        char* file = strchr(line, '/');
        if (!file) continue;
        file[strcspn(file, "\n")] = '\0';
        if (!is_mpi_library(file) || strstr(text, file)) continue;
        const size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", used ? " " : "", file);
    }
    fclose(maps);
}

static void tell_ranks(int rank, int size) {
    char host[256] = "?", libraries[1600] = "", info[INFO] = "";
    gethostname(host, sizeof host - 1);
    mapped_libraries(libraries, sizeof libraries);
    snprintf(info, sizeof info, "rank %d of %d on %s, pid %ld, libmpi %s", rank, size, host, (long)getpid(), libraries);

    char* all = rank == 0 ? malloc((size_t)size * INFO) : NULL;
    MPI_Gather(info, INFO, MPI_CHAR, all, INFO, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (rank != 0) return;
    for (int i = 0; i < size; i++) puts(all + (size_t)i * INFO);
    fflush(stdout);
    free(all);
}

// Large messages are repeated less, so that the whole table takes seconds over a slow link too.
static int repetitions(long bytes) {
    const long by_volume = bytes > 0 ? BYTES_PER_SIZE / bytes : MAX_REPETITIONS;
    return (int)(by_volume > MAX_REPETITIONS ? MAX_REPETITIONS : by_volume < 4 ? 4 : by_volume);
}

static double round_trips(char* buffer, int bytes, int count, int rank, int peer) {
    const double start = MPI_Wtime();
    for (int i = 0; i < count; i++) {
        if (rank == 0) MPI_Send(buffer, bytes, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
        MPI_Recv(buffer, bytes, MPI_BYTE, peer, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        if (rank != 0) MPI_Send(buffer, bytes, MPI_BYTE, peer, 1, MPI_COMM_WORLD);
    }
    return MPI_Wtime() - start;
}

int main(int argc, char** argv) {
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);

    long max = LARGEST;
    if (argc == 3 && strcmp(argv[1], "--max") == 0) {
        max = strtol(argv[2], NULL, 10);
    } else if (argc != 1) {
        if (rank == 0) fprintf(stderr, "usage: pingpong [--max BYTES]\n");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    if (max < 0 || max > LARGEST) max = LARGEST;

    tell_ranks(rank, size);
    const int last = size - 1;
    char* buffer = calloc(1, (size_t)max + 1);
    if (!buffer) MPI_Abort(MPI_COMM_WORLD, 1);

    if (size == 1) {
        puts("# one rank only: no partner to play with");
    } else {
        if (rank == 0) printf("# ping-pong between rank 0 and rank %d\n%10s %12s %12s %12s\n", last, "#bytes", "repetitions",
                              "t[usec]", "Mbytes/sec");
        for (long bytes = 0; bytes <= max; bytes = bytes ? 2 * bytes : 1) {
            MPI_Barrier(MPI_COMM_WORLD);
            if (rank != 0 && rank != last) continue;
            const int count = repetitions(bytes), peer = rank == 0 ? last : 0;
            round_trips(buffer, (int)bytes, 1 + count / 10, rank, peer);      // warms up connections and caches
            const double usec = round_trips(buffer, (int)bytes, count, rank, peer) * 1e6 / (2.0 * count);
            if (rank == 0) {
                printf("%10ld %12d %12.2f %12.2f\n", bytes, count, usec, usec > 0 ? (double)bytes / usec : 0.0);
                fflush(stdout);
            }
        }
    }
    fflush(stdout);
    free(buffer);
    MPI_Finalize();
    return 0;
}
