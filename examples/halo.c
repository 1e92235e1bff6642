/* halo.c - an MPI halo exchange that sends faces compressed.
 * Every rank owns a wall of octants (8 x 8 of 7^3 values) of a ring along x. Each step it sends the first and last x-planes of all its octants
 * to its neighbours, each set as one message of at most a known size, and diffuses along x with what it got. The same faces are sent
 * as they are beside it, to say how far off the compressed ones were.
 *     mpirun -n 2 halo [steps] [bound]
 * Out: bytes sent, ratio, time in the coder, largest error over the bound; exit status 1 if a bound was broken.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "swage/insitu.h"

enum { N = 7, WALL = 8, OCTANTS = WALL * WALL, FACE = N * N, FACES = OCTANTS * FACE, VALUES = OCTANTS * N * N * N };

typedef struct rank {
    int id, count, left, right;
    double field[VALUES], next[VALUES];         /* (octant, z, y, x) */
    double send[2][FACES], ghost[2][FACES], exact[2][FACES]; /* 0: x = 0 and from the left; 1: x = N - 1 and from the right */
    swg_insitu *coder;
    unsigned char *message[2], *inbox[2];       /* worst bytes each */
    size_t worst;
    double bound, coder_s, largest;
    long long raw_bytes, sent_bytes;
} rank;

static void require(swg_status status, const rank *r) {
    if (status == SWG_OK)
        return;
    fprintf(stderr, "halo: %s: %s\n", swg_status_name(status), r->coder ? swg_insitu_message(r->coder) : "");
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void pack(rank *r) {
    for (int i = 0; i < OCTANTS * FACE; i++) {
        r->send[0][i] = r->field[i * N];
        r->send[1][i] = r->field[i * N + N - 1];
    }
}

/* One double array each way: what goes left arrives as the neighbour's right ghost. */
static void exchange_exact(rank *r) {
    for (int side = 0; side < 2; side++)
        MPI_Sendrecv(r->send[side], FACES, MPI_DOUBLE, side ? r->right : r->left, side, r->exact[!side], FACES, MPI_DOUBLE, side ? r->left : r->right, side,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

static void exchange(rank *r) {
    MPI_Request requests[4];
    MPI_Status statuses[4];
    double start = MPI_Wtime();
    for (int side = 0; side < 2; side++) {
        size_t bytes;
        MPI_Irecv(r->inbox[side], (int)r->worst, MPI_BYTE, side ? r->right : r->left, 10 + !side, MPI_COMM_WORLD, &requests[side]);
        require(swg_insitu_compress(r->coder, r->send[side], OCTANTS, r->message[side], r->worst, &bytes), r);
        MPI_Isend(r->message[side], (int)bytes, MPI_BYTE, side ? r->right : r->left, 10 + side, MPI_COMM_WORLD, &requests[2 + side]);
        r->raw_bytes += (long long)sizeof r->send[side];
        r->sent_bytes += (long long)bytes;
    }
    r->coder_s += MPI_Wtime() - start;
    MPI_Waitall(4, requests, statuses);
    start = MPI_Wtime();
    for (int side = 0; side < 2; side++) {
        int bytes;
        MPI_Get_count(&statuses[side], MPI_BYTE, &bytes);
        require(swg_insitu_decompress(r->coder, r->inbox[side], (size_t)bytes, r->ghost[side], OCTANTS), r);
    }
    r->coder_s += MPI_Wtime() - start;
}

static void compare(rank *r) {
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < FACES; i++)
            r->largest = fmax(r->largest, fabs(r->ghost[side][i] - r->exact[side][i]));
}

static void diffuse(rank *r) {
    for (int row = 0; row < OCTANTS * FACE; row++)
        for (int x = 0; x < N; x++) {
            const double *u = r->field + row * N;
            double before = x ? u[x - 1] : r->ghost[0][row], after = x < N - 1 ? u[x + 1] : r->ghost[1][row];
            r->next[row * N + x] = u[x] + 0.2 * (before - 2 * u[x] + after);
        }
    memcpy(r->field, r->next, sizeof r->field);
}

static void start_field(rank *r) {
    for (int i = 0; i < VALUES; i++) {
        int x = i % N, y = i / N % N, z = i / N / N % N, octant = i / N / N / N;
        double gx = r->id * N + x, gy = octant % WALL * N + y, gz = octant / WALL * N + z;
        r->field[i] = sin(0.2 * gx) * cos(0.11 * gy) + 0.3 * sin(0.05 * gz * gy / (1 + 0.1 * gx));
    }
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    static rank r;
    int steps = argc > 1 ? atoi(argv[1]) : 20;
    r.bound = argc > 2 ? atof(argv[2]) : 1e-6;
    MPI_Comm_rank(MPI_COMM_WORLD, &r.id);
    MPI_Comm_size(MPI_COMM_WORLD, &r.count);
    r.left = (r.id + r.count - 1) % r.count;
    r.right = (r.id + 1) % r.count;

    /* Setup: all memory there will ever be. */
    swg_insitu_opts opts = {.type = SWG_ELEMENT_F64, .ndim = 2, .dims = {N, N}, .items = OCTANTS, .bound = SWG_BOUND_ABS, .value = r.bound};
    size_t memory = swg_insitu_memory(&opts);
    r.worst = swg_insitu_worst(&opts, OCTANTS);
    void *work = malloc(memory);
    for (int side = 0; side < 2; side++) {
        r.message[side] = malloc(r.worst);
        r.inbox[side] = malloc(r.worst);
    }
    require(work && r.message[0] && r.message[1] && r.inbox[0] && r.inbox[1] ? SWG_OK : SWG_ENOMEM, &r);
    require(swg_insitu_open(&opts, work, memory, &r.coder), &r);

    start_field(&r);
    for (int step = 0; step < steps; step++) {
        pack(&r);
        exchange(&r);
        exchange_exact(&r);
        compare(&r);
        diffuse(&r);
    }

    double largest = 0, seconds = 0;
    long long bytes[2], all[2];
    bytes[0] = r.raw_bytes;
    bytes[1] = r.sent_bytes;
    MPI_Allreduce(&r.largest, &largest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    MPI_Reduce(&r.coder_s, &seconds, 1, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    MPI_Reduce(bytes, all, 2, MPI_LONG_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
    if (r.id == 0 && steps > 0)
        printf("%d ranks, %d steps: %lld bytes of faces sent as %lld (ratio %.2f), largest error / bound %.4f, coder %.1f us per step, %zu bytes of memory\n", r.count,
               steps, all[0], all[1], (double)all[0] / (double)all[1], largest / r.bound, 1e6 * seconds / steps, memory);
    swg_insitu_close(r.coder);
    free(work);
    for (int side = 0; side < 2; side++) {
        free(r.message[side]);
        free(r.inbox[side]);
    }
    MPI_Finalize();
    return largest <= r.bound ? 0 : 1;
}
