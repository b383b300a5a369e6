/* The file that uses the program's own function. */
int map_file(int answer);
int USE(void);

int USE(void)
{
    return map_file(7);
}
