/* json.c - looks into JSON for the end-to-end tests.
 * In: json FILE PATH...   Out: a line per path (variables.0.ratio; "." is the whole): a number, text, true, null, the keys of an object
 * separated by blanks, or the length of a list. Exit status 1 with a message if the file is no JSON or a path is not there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t used = 0, got = 1;
    while (file && got && (text = realloc(text, used + 65537))) {
        got = fread(text + used, 1, 65536, file);
        used += got;
        text[used] = 0;
    }
    if (file)
        fclose(file);
    return text;
}

static const cJSON *find(const cJSON *at, const char *path) {
    char word[256];
    while (at && *path && strcmp(path, ".") != 0) {
        size_t length = strcspn(path, ".");
        snprintf(word, sizeof word, "%.*s", (int)length, path);
        at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(word)) : cJSON_GetObjectItemCaseSensitive(at, word);
        path += length + (path[length] == '.');
    }
    return at;
}

static void print(const cJSON *item) {
    if (cJSON_IsNumber(item))
        printf("%.17g\n", item->valuedouble);
    else if (cJSON_IsString(item))
        printf("%s\n", item->valuestring);
    else if (cJSON_IsArray(item))
        printf("%d\n", cJSON_GetArraySize(item));
    else if (cJSON_IsObject(item)) {
        const cJSON *child;
        cJSON_ArrayForEach(child, item) printf("%s%s", child->string, child->next ? " " : "\n");
    } else
        printf("%s\n", cJSON_IsNull(item) ? "null" : cJSON_IsTrue(item) ? "true" : "false");
}

int main(int argc, char **argv) {
    char *text = argc > 1 ? read_all(argv[1]) : NULL;
    const char *end = NULL;
    cJSON *root = text ? cJSON_ParseWithOpts(text, &end, 1) : NULL;
    int result = !root;
    if (!root)
        fprintf(stderr, "json: %s is not one JSON value\n", argc > 1 ? argv[1] : "(no file)");
    for (int i = 2; root && i < argc; i++) {
        const cJSON *item = find(root, argv[i]);
        if (item)
            print(item);
        else
            fprintf(stderr, "json: %s has no %s\n", argv[1], argv[i]);
        result |= !item;
    }
    cJSON_Delete(root);
    free(text);
    return result;
}
