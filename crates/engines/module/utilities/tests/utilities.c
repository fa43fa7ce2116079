/* Uses the utilities library as an engine does; says what is wrong and ends with 1. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <memcached/extension_loggers.h>
#include <memcached/util.h>

#include "larder_utilities.h"

static int failures;

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            printf("%s:%d: not so: %s\n", __func__, __LINE__, #condition); \
            failures++; \
        } \
    } while (0)

static void numbers(void)
{
    uint64_t u64 = 7;
    int64_t i64 = 7;
    uint32_t u32 = 7;
    int32_t i32 = 7;
    float f32 = 7;
    EXPECT(safe_strtoull("18446744073709551615", &u64) && u64 == UINT64_MAX);
    EXPECT(safe_strtoull("  12 and more", &u64) && u64 == 12);
    EXPECT(!safe_strtoull("18446744073709551616", &u64) && u64 == 0);
    EXPECT(!safe_strtoull(" -1", &u64) && u64 == 0);
    EXPECT(!safe_strtoull("12x", &u64) && u64 == 0);
    EXPECT(!safe_strtoull("", &u64) && u64 == 0);
    EXPECT(safe_strtoll("-9223372036854775808", &i64) && i64 == INT64_MIN);
    EXPECT(!safe_strtoll("9223372036854775808", &i64) && i64 == 0);
    EXPECT(safe_strtoul("4294967295", &u32) && u32 == UINT32_MAX);
    EXPECT(!safe_strtoul("4294967296", &u32) && u32 == 0);
    EXPECT(safe_strtol("-2147483648\n", &i32) && i32 == INT32_MIN);
    EXPECT(!safe_strtol("-2147483649", &i32) && i32 == 0);
    EXPECT(safe_strtof("1.25", &f32) && f32 == 1.25f);
    EXPECT(!safe_strtof("1.25.", &f32) && f32 == 0);
}

static void byte_order(void)
{
    const uint8_t network[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t value = 0;
    memcpy(&value, network, sizeof value);
    EXPECT(ntohll(value) == 0x0102030405060708u);
    EXPECT(htonll(0x0102030405060708u) == value);
}

/* What the last parsing complained of. */
static char complaint[512];

static int parse(int (*parser)(const char *, struct config_item[], FILE *), const char *text, struct config_item *items)
{
    FILE *file = tmpfile();
    if (file == NULL) {
        printf("no temporary file\n");
        exit(1);
    }
    int outcome = parser(text, items, file);
    rewind(file);
    complaint[fread(complaint, 1, sizeof complaint - 1, file)] = '\0';
    fclose(file);
    return outcome;
}

struct values {
    size_t size;
    ssize_t ssize;
    float fraction;
    bool flag;
    char *text;
};

/* Entries by plain numbers: this program plays engines of both numberings. */
enum { COUNT = 7 };

static struct config_item entry(const char *key, int datatype, void *destination)
{
    struct config_item item = {.key = key, .datatype = (enum config_datatype)datatype};
    item.value.dt_size = destination;
    return item;
}

static void fill_without(struct config_item *items, struct values *values)
{
    items[0] = entry("size", 0, &values->size);
    items[1] = entry("fraction", 1, &values->fraction);
    items[2] = entry("flag", 2, &values->flag);
    items[3] = entry("text", 3, &values->text);
    items[4] = entry("file", 4, NULL);
    items[5] = entry(NULL, 0, NULL);
}

static void fill_with(struct config_item *items, struct values *values)
{
    items[0] = entry("size", 0, &values->size);
    items[1] = entry("ssize", 1, &values->ssize);
    items[2] = entry("fraction", 2, &values->fraction);
    items[3] = entry("flag", 3, &values->flag);
    items[4] = entry("text", 4, &values->text);
    items[5] = entry("file", 5, NULL);
    items[6] = entry(NULL, 0, NULL);
}

static void types_without_ssize(void)
{
    struct values values = {0};
    struct config_item items[COUNT];
    fill_without(items, &values);
    EXPECT(parse(parse_config, " size = 3K ;fraction=1.5;flag=on;text= a\\;b\\=c\\d ;", items) == 0);
    EXPECT(values.size == 3072 && values.fraction == 1.5f && values.flag);
    EXPECT(values.text != NULL && strcmp(values.text, "a;b=c\\d") == 0);
    EXPECT(items[0].found && items[1].found && items[2].found && items[3].found && !items[4].found);
    EXPECT(complaint[0] == '\0');
    free(values.text);
}

static void types_with_ssize(void)
{
    struct values values = {.flag = true};
    struct config_item items[COUNT];
    fill_with(items, &values);
    EXPECT(parse(parse_config, "size=2t;ssize=-5;fraction=0.25;flag=FALSE;text=", items) == 0);
    EXPECT(values.size == (size_t)2 << 40 && values.ssize == -5 && values.fraction == 0.25f && !values.flag);
    EXPECT(values.text != NULL && values.text[0] == '\0');
    free(values.text);
}

/* Each array shows its numbering by one thing alone. */
static void numbering(void)
{
    struct values values = {0};
    struct config_item items[2] = {entry("it", 2, &values), entry(NULL, 0, NULL)};
    values.flag = false;
    items[0] = entry("it", 2, &values.flag);
    EXPECT(parse(larder_parse_config_with_ssize, "it=true", items) == 0 && values.flag);
    items[0] = entry("it", 2, &values.fraction);
    EXPECT(parse(larder_parse_config_without_ssize, "it=2", items) == 0 && values.fraction == 2);
    values.flag = false;
    items[0] = entry("it", 3, &values.flag);
    EXPECT(parse(larder_parse_config_without_ssize, "it=on", items) == 0 && values.flag);
    items[0] = entry("it", 3, &values.text);
    EXPECT(parse(larder_parse_config_with_ssize, "it=word", items) == 0 && strcmp(values.text, "word") == 0);
    free(values.text);
    items[0] = entry("it", 4, &values.text);
    EXPECT(parse(larder_parse_config_without_ssize, "it=word", items) == 0 && strcmp(values.text, "word") == 0);
    free(values.text);
    items[0] = entry("it", 1, &values.fraction);
    EXPECT(parse(larder_parse_config_with_ssize, "it=0.5", items) == 0 && values.fraction == 0.5f);
    /* Nothing shows it: what was declared counts. */
    items[0] = entry("it", 1, &values.ssize);
    EXPECT(parse(larder_parse_config_with_ssize, "it=9", items) == 0 && values.ssize == 9);
    items[0] = entry("it", 1, &values.fraction);
    EXPECT(parse(larder_parse_config_without_ssize, "it=9", items) == 0 && values.fraction == 9);
}

static void files(void)
{
    char path[] = "/tmp/larder-utilities-XXXXXX";
    int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    EXPECT(file != NULL);
    fputs("# a comment; size=1\nsize=10\r\n\n  text=from a file;flag=on\n", file);
    fclose(file);
    char text[80];
    snprintf(text, sizeof text, "file=%s;flag=off", path);
    struct values values = {0};
    struct config_item items[COUNT];
    fill_without(items, &values);
    EXPECT(parse(parse_config, text, items) == 0);
    EXPECT(values.size == 10 && !values.flag && strcmp(values.text, "from a file") == 0 && items[4].found);
    EXPECT(strstr(complaint, "\"flag\" is given twice") != NULL);
    free(values.text);

    file = fopen(path, "w");
    EXPECT(file != NULL);
    fprintf(file, "file=%s\n", path);
    fclose(file);
    fill_without(items, &values);
    EXPECT(parse(parse_config, text, items) == -1 && strstr(complaint, "deep") != NULL);
    unlink(path);
    EXPECT(parse(parse_config, text, items) == -1 && strstr(complaint, "cannot open /tmp/") != NULL);
}

static void refuses(const char *text, int outcome, const char *words)
{
    struct values values = {.size = 1, .fraction = 1};
    struct config_item items[COUNT];
    fill_without(items, &values);
    int got = parse(parse_config, text, items);
    if (got != outcome || strstr(complaint, words) == NULL) {
        printf("\"%.60s\" gives %d and \"%s\", not %d and \"%s\"\n", text, got, complaint, outcome, words);
        failures++;
    }
    free(values.text);
    values.text = NULL;
    /* Without a file there is no complaint, and the same outcome. */
    EXPECT(parse_config(text, items, NULL) == outcome);
    free(values.text);
}

static void bad_input(void)
{
    refuses("nosuch=1;size=2", 1, "\"nosuch\" is unknown");
    refuses("size=", -1, "\"size\" should be");
    refuses("size=12q", -1, "\"12q\" of \"size\"");
    refuses("size=-1", -1, "\"size\"");
    refuses("size=18446744073709551615k", -1, "\"size\"");
    refuses("fraction=much", -1, "\"fraction\"");
    refuses("flag=perhaps", -1, "\"flag\"");
    refuses("size", -1, "key=value");
    refuses("=5", -1, "key=value");
    char text[2000] = "text=";
    memset(text + 5, 'x', 1023);
    refuses(text, 0, "");
    text[5 + 1023] = 'x';
    refuses(text, -1, "longer than 1023");
    memset(text, 'k', 80);
    strcpy(text + 80, "=1");
    refuses(text, -1, "longer than 79");
    refuses("", 0, "");
    refuses(" ; ;", 0, "");
}

static char logged[4096];
static size_t logged_length;
static int logged_severity;
static const void *logged_cookie;

static void sink(int severity, const void *cookie, const char *text, size_t length, const void *caller)
{
    EXPECT(caller != NULL);
    memcpy(logged, text, length);
    logged[length] = '\0';
    logged_length = length;
    logged_severity = severity;
    logged_cookie = cookie;
}

static void loggers(void)
{
    larder_set_log_sink(sink);
    EXTENSION_LOGGER_DESCRIPTOR *logger = get_stderr_logger();
    EXPECT(strcmp(logger->get_name(), "larder") == 0);
    errno = ENOENT;
    logger->log(EXTENSION_LOG_WARNING, &failures, "%d %u %ld %s %c %.2f %g %x %p %s %d %.1f %d %d\n", -1, 2u, 3L,
                "four", '5', 6.5, 7.25, 0x8u, (void *)0, "ten", 11, 12.5, 13, 14);
    EXPECT(errno == ENOENT);
    EXPECT(strcmp(logged, "-1 2 3 four 5 6.50 7.25 8 (nil) ten 11 12.5 13 14") == 0);
    EXPECT(logged_severity == EXTENSION_LOG_WARNING && logged_cookie == &failures);
    char long_text[5000];
    memset(long_text, 'y', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    logger->log(EXTENSION_LOG_DEBUG, NULL, "%s", long_text);
    EXPECT(logged_length == 2047 && logged_cookie == NULL);
    logged_severity = -1;
    get_null_logger()->log(EXTENSION_LOG_WARNING, NULL, "%d", 1);
    EXPECT(logged_severity == -1 && strcmp(get_null_logger()->get_name(), "null") == 0);
    EXPECT(memcached_initialize_stderr_logger(NULL) == EXTENSION_SUCCESS);
}

int main(void)
{
    numbers();
    byte_order();
    types_without_ssize();
    types_with_ssize();
    numbering();
    files();
    bad_input();
    loggers();
    errno = ENOENT;
    vperror("cannot open %s, try %d", "it", 3);
    return failures == 0 ? 0 : 1;
}
