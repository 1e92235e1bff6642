/* doctor.c - looks for the plug-in as HDF5 does, loads it, sends a small dataset through it.
 * In: environment, files. Out: findings, each with what to do about it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "h5file/doctor.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "h5file/h5file.h"

#ifndef SWG_PLUGIN_FOLDER
#error "SWG_PLUGIN_FOLDER comes from the build"
#endif

#define PLUGIN "libh5swage.so"

/* ---- where it is ---- */

static bool holds_plugin(const char *folder) {
    char file[4300];
    return snprintf(file, sizeof file, "%s/" PLUGIN, folder) < (int)sizeof file && access(file, R_OK) == 0;
}

/* The first folder of a list that holds it, or the first that is not there. */
static bool search_path(const char *list, bool missing, char *out, size_t capacity) {
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, ":");
        if (length && length < capacity) {
            snprintf(out, capacity, "%.*s", (int)length, p);
            if (missing ? !swg__is_folder(out) : holds_plugin(out))
                return true;
        }
        p += length + (p[length] == ':');
    }
    return false;
}

bool swg__plugin_folder(char *out, size_t capacity) {
    const char *path = getenv("HDF5_PLUGIN_PATH");
    char program[4096];
    if (path && search_path(path, false, out, capacity))
        return true;
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = 0;
    char *slash = strrchr(program, '/');
    if (slash)
        *slash = 0;
    snprintf(out, capacity, "%s/plugin", program); /* a build tree */
    if (holds_plugin(out))
        return true;
    slash = strrchr(program, '/'); /* PREFIX/bin */
    if (slash)
        *slash = 0;
    snprintf(out, capacity, "%s/" SWG_PLUGIN_FOLDER, program);
    return holds_plugin(out);
}

/* ---- checks ---- */

static void good(swg__finding *f, const char *name) { *f = (swg__finding){.name = name, .good = true}; }

static void check_library(swg__finding *f) {
    unsigned major = 0, minor = 0, release = 0;
    good(f, "HDF5 library");
    H5get_libversion(&major, &minor, &release);
    snprintf(f->found, sizeof f->found, "%u.%u.%u, built with %d.%d.%d", major, minor, release, H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
    f->good = (major > 1 || minor >= 10) && (int)major == H5_VERS_MAJOR && (int)minor == H5_VERS_MINOR;
    if (!f->good)
        snprintf(f->mend, sizeof f->mend, "run swage with the HDF5 it was built with, or build it again; plug-ins need 1.10 or later");
}

static void check_environment(swg__finding *f, const char *folder, bool there) {
    const char *path = getenv("HDF5_PLUGIN_PATH");
    char missing[4096];
    good(f, "HDF5_PLUGIN_PATH");
    snprintf(f->found, sizeof f->found, "%.4000s", path ? path : "not set");
    f->good = path && search_path(path, false, missing, sizeof missing);
    if (f->good)
        return;
    if (path && search_path(path, true, missing, sizeof missing))
        snprintf(f->found, sizeof f->found, "there is no folder %.4000s", missing);
    else if (path)
        snprintf(f->found, sizeof f->found, "%.4000s: no " PLUGIN " in it", path);
    if (there)
        snprintf(f->mend, sizeof f->mend, "export HDF5_PLUGIN_PATH=%.4000s%s", folder, path && *path ? ":$HDF5_PLUGIN_PATH" : "");
    else
        snprintf(f->mend, sizeof f->mend, "install swage (make install), then export HDF5_PLUGIN_PATH=%.4000s", folder);
}

/* Loads the file itself: a missing symbol shows here with its name. */
static void check_file(swg__finding *f, const char *folder, bool there) {
    char file[4300];
    int (*type)(void);
    const void *(*info)(void);
    good(f, "plug-in");
    snprintf(file, sizeof file, "%.4200s/" PLUGIN, folder);
    snprintf(f->found, sizeof f->found, "%s", file);
    f->good = there;
    if (!there) {
        snprintf(f->found, sizeof f->found, "no %s", file);
        snprintf(f->mend, sizeof f->mend, "make install puts it there; or name its folder in HDF5_PLUGIN_PATH");
        return;
    }
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    void *symbols[2] = {library ? dlsym(library, "H5PLget_plugin_type") : NULL, library ? dlsym(library, "H5PLget_plugin_info") : NULL};
    memcpy(&type, &symbols[0], sizeof type);
    memcpy(&info, &symbols[1], sizeof info);
    f->good = symbols[0] && symbols[1] && type() == H5PL_TYPE_FILTER && ((const H5Z_class2_t *)info())->id == SWG__FILTER_ID;
    if (!f->good) {
        const char *why = library ? "is not the swage filter" : dlerror();
        snprintf(f->found, sizeof f->found, "%.4000s: %.300s", file, why ? why : "cannot be loaded");
        snprintf(f->mend, sizeof f->mend, "install swage again, for this machine");
    }
    if (library)
        dlclose(library);
}

/* As any other program would: our own registration is taken away first. */
static void check_loading(swg__finding *f, const char *folder, bool there) {
    unsigned state = 0;
    good(f, "HDF5 loads it");
    H5Zunregister(SWG__FILTER_ID);
    H5PLget_loading_state(&state);
    f->good = H5Zfilter_avail(SWG__FILTER_ID) > 0;
    snprintf(f->found, sizeof f->found, "filter %d %s", SWG__FILTER_ID, f->good ? "found" : "not found");
    if (f->good)
        return;
    if (!(state & H5PL_FILTER_PLUGIN)) {
        snprintf(f->found, sizeof f->found, "plug-ins are switched off by HDF5_PLUGIN_PRELOAD");
        snprintf(f->mend, sizeof f->mend, "unset HDF5_PLUGIN_PRELOAD");
    } else {
        const char *path = getenv("HDF5_PLUGIN_PATH");
        char missing[4096];
        snprintf(f->mend, sizeof f->mend, "set HDF5_PLUGIN_PATH as said above");
        if (path && search_path(path, true, missing, sizeof missing)) /* some versions of HDF5 look no further */
            snprintf(f->mend, sizeof f->mend, "take %.4000s, which does not exist, out of HDF5_PLUGIN_PATH", missing);
        if (there && H5PLprepend(folder) >= 0) /* for the next check */
            (void)H5Zfilter_avail(SWG__FILTER_ID);
    }
}

enum { EDGE = 16, VALUES = EDGE * EDGE * EDGE };

/* reason: why it failed, 300 characters. */
static bool round_trip(hid_t file, const float *x, float *back, hsize_t *stored, char *reason) {
    static const hsize_t dims[3] = {EDGE, EDGE, EDGE};
    swg_codec_opts opts = {.bound = SWG_BOUND_ABS, .value = 1e-3};
    uint32_t words[SWG__FILTER_USER_WORDS];
    swg__filter_user_write(&opts, 5, words);
    hid_t space = H5Screate_simple(3, dims, NULL), list = H5Pcreate(H5P_DATASET_CREATE), set = -1;
    bool done = H5Pset_chunk(list, 3, dims) >= 0 && H5Pset_filter(list, SWG__FILTER_ID, H5Z_FLAG_MANDATORY, SWG__FILTER_USER_WORDS, words) >= 0 &&
                (set = H5Dcreate2(file, "x", H5T_IEEE_F32BE, space, H5P_DEFAULT, list, H5P_DEFAULT)) >= 0 &&
                H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0;
    if (!done)
        swg__h5_reason(reason, 300);
    if (set >= 0)
        H5Dclose(set); /* out of the cache, so that reading decodes */
    set = done ? H5Dopen2(file, "x", H5P_DEFAULT) : -1;
    done = set >= 0 && H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, back) >= 0;
    if (!done && !*reason)
        swg__h5_reason(reason, 300);
    *stored = done ? H5Dget_storage_size(set) : 0;
    if (set >= 0)
        H5Dclose(set);
    H5Pclose(list);
    H5Sclose(space);
    return done;
}

static void check_round_trip(swg_context *ctx, swg__finding *f) {
    char reason[300] = "";
    float *x = swg__alloc(ctx, 2 * VALUES * sizeof *x), *back = x + VALUES;
    hsize_t stored = 0;
    double worst = 0;
    good(f, "round trip");
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, 1 << 16, false);
    hid_t file = x ? H5Fcreate("swage-doctor", H5F_ACC_TRUNC, H5P_DEFAULT, access) : -1;
    for (int i = 0; x && i < VALUES; i++)
        x[i] = (float)sin(0.01 * i);
    f->good = file >= 0 && round_trip(file, x, back, &stored, reason);
    for (int i = 0; f->good && i < VALUES; i++)
        worst = fmax(worst, fabs((double)back[i] - (double)x[i]));
    if (f->good) {
        snprintf(f->found, sizeof f->found, "%d bytes became %llu, largest error %.3g of 0.001", VALUES * 4, (unsigned long long)stored, worst);
        f->good = worst <= 1e-3 && stored < VALUES * 4;
    } else {
        snprintf(f->found, sizeof f->found, "failed: %s", reason);
    }
    if (!f->good)
        snprintf(f->mend, sizeof f->mend, *reason && (strstr(reason, "filter") || strstr(reason, "plugin")) ? "mend what is said above, then try again" : "install swage again, for this machine");
    if (file >= 0)
        H5Fclose(file);
    H5Pclose(access);
    swg__free(ctx, x);
}

swg_status swg__doctor(swg_context *ctx, swg__finding f[SWG__DOCTOR_CHECKS]) {
    char folder[4096];
    bool there = swg__plugin_folder(folder, sizeof folder);
    swg__h5 session;
    good(&f[0], "swage");
    snprintf(f[0].found, sizeof f[0].found, "%s, instruction set %s, %d threads", swg_version(), swg_context_isa(ctx), swg_context_threads(ctx));
    swg__h5_enter(&session);
    check_library(&f[1]);
    check_environment(&f[2], folder, there);
    check_file(&f[3], folder, there);
    check_loading(&f[4], folder, there);
    check_round_trip(ctx, &f[5]);
    swg__h5_leave(&session);
    return SWG_OK;
}
