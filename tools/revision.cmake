# SPDX-License-Identifier: Apache-2.0
# Writes OUT with the revision of the working tree at ROOT, for the head of every benchmark. Only a change touches the file.
set(revision unknown)
if(GIT)
    execute_process(COMMAND ${GIT} -C ${ROOT} describe --always --dirty OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE
        ERROR_QUIET RESULT_VARIABLE failed)
    if(failed)
        set(revision unknown)
    endif()
endif()
set(text "#define SWG_REVISION \"${revision}\"\n")
set(old "")
if(EXISTS ${OUT})
    file(READ ${OUT} old)
endif()
if(NOT text STREQUAL old)
    file(WRITE ${OUT} "${text}")
endif()
