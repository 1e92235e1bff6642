# SPDX-License-Identifier: Apache-2.0
# Writes a C file with every recipe under ROOT as a string: {path relative to ROOT, text}. Lines keep their numbers.
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/*.yaml)
list(SORT files)
set(text "/* Written by tools/embed.cmake. */\n#include <stddef.h>\n#include \"config/embedded.h\"\n\nconst swg__embedded_file swg__embedded_recipes[] = {\n")
foreach(name IN LISTS files)
    file(READ ${ROOT}/${name} body)
    string(REPLACE "\\" "\\\\" body "${body}")
    string(REPLACE "\"" "\\\"" body "${body}")
    string(REPLACE "\n" "\\n\"\n        \"" body "${body}")
    string(APPEND text "    {\"${name}\", \"${body}\"},\n")
endforeach()
string(APPEND text "    {NULL, NULL},\n};\n")
file(WRITE ${OUT} "${text}")
