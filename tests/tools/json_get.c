/* json_get.c - prints values out of JSON: json_get PATH ... < file, one line each. PATH: keys and indices with dots, as variables.0.mse;
 * a list or object prints its number of entries. Ends with 1 if the input is not JSON or a path leads nowhere.
 * SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cJSON *find(const cJSON *at, char *path) {
    for (char *word = strtok(path, "."); word && at; word = strtok(NULL, "."))
        at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(word)) : cJSON_GetObjectItemCaseSensitive(at, word);
    return at;
}

static void print(const cJSON *value) {
    if (cJSON_IsString(value))
        puts(value->valuestring);
    else if (cJSON_IsNumber(value))
        printf("%.17g\n", value->valuedouble);
    else if (cJSON_IsNull(value))
        puts("null");
    else if (cJSON_IsBool(value))
        puts(cJSON_IsTrue(value) ? "true" : "false");
    else
        printf("%d\n", cJSON_GetArraySize(value));
}

int main(int argc, char **argv) {
    static char text[1 << 20];
    size_t bytes = fread(text, 1, sizeof text - 1, stdin);
    cJSON *root = cJSON_ParseWithLengthOpts(text, bytes + 1, NULL, 1); /* nothing may follow */
    if (!root) {
        fprintf(stderr, "json_get: not JSON\n");
        return 1;
    }
    int status = 0;
    for (int i = 1; i < argc; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s", argv[i]);
        const cJSON *value = find(root, path);
        if (value) {
            print(value);
        } else {
            fprintf(stderr, "json_get: no %s\n", argv[i]);
            status = 1;
        }
    }
    cJSON_Delete(root);
    return status;
}
